"""Measure kinpack beside others: a folder a subject over `measuring`; `results` they wrote."""
