"""Measure archives of a million images beside other stores; imports all but `learning`, `ship`."""
