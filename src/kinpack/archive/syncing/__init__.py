"""Syncing: what a folder and an archive of its pictures differ in, and what makes them the same."""
