"""Measure bits and distortions of kinpack and of other codecs; imports `measuring`."""
