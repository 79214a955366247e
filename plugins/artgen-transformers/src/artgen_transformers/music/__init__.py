"""The backend ``audio.musicgen``."""
