"""Duplicates of an archive: found, told, drawn on a sheet."""
