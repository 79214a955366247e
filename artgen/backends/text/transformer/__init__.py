"""``text.transformer``: a decoder-only Transformer that trains in a minute on a laptop."""
