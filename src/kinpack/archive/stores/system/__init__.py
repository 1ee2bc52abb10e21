"""Calls to the system where it is like Windows; imports nothing of kinpack."""
