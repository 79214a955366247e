"""The models of transformers for artgen: language models, MusicGen, neural audio codecs."""
