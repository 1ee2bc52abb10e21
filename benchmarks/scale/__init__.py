"""Measure archives of a million images beside other stores; imports `pages` and `speed`."""
