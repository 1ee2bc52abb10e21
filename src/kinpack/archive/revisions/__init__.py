"""Numbered revisions: named, read, committed, searched; may import segments and below."""
