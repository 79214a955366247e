"""Measures that need no download, and the official ones where their weights are at hand; import the module you need."""
