"""The backend ``text.transformers``."""
