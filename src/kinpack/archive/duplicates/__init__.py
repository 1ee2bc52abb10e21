"""Duplicates of an archive: found, told, laid out to be looked at."""
