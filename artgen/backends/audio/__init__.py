"""Built-in backends that make sounds."""
