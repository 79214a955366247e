"""Blocks that two or more backends share; torch only."""
