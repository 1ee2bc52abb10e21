"""Measure time and memory of coding and of an archive's calls; imports `measuring` and `rates`."""
