"""Codecs with lattice context: their networks, their model and its training."""
