"""Comparing pictures themselves: the same one, changed, or another; may import pictures."""
