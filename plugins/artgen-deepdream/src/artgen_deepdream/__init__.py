"""DeepDream for artgen: the backend ``image.deepdream``."""
