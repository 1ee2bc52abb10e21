"""Measure what each part of a learned codec gains; imports `measuring` and `rates`."""
