"""Built-in backends for text."""
