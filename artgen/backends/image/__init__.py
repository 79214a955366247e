"""Built-in backends that make pictures."""
