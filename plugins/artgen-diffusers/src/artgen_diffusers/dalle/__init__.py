"""``image.dalle``: pictures from words, trained from scratch: a discrete autoencoder and a Transformer over text and codes."""
