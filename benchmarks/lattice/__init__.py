"""Codecs with lattice context: patches, the trial over a frozen transform, training, curves."""
