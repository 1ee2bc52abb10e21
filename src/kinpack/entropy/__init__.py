"""Entropy coding: integer frequency tables and the coders over them."""
