"""Measures trackparse against inflating alone, and against the readers that are there anyway."""
