"""Pictures and clips: decoding, encoding, and the recipe and mark inside the files."""
