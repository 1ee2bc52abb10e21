"""Measure how well codes find kin; imports `measuring`."""
