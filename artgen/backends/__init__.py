"""The built-in backends; they are found through entry points, as any plugin's."""
