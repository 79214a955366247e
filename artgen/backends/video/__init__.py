"""Built-in backends that make moving pictures."""
