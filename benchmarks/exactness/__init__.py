"""Measure whether every way of decoding gives the same pixels; imports `measuring`."""
