"""Codecs: images to packets and back."""
