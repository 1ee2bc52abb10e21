"""Entropy coding: integer tables, the range coder, varints; may import errors alone."""
