"""Duplicates: near pairs of codes, pairs of pictures compared, thresholds, groups."""
