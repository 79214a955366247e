"""The backend ``audio.encodec``."""
