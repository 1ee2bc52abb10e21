"""Codecs: `Codec`, which turns images into packets and back; may import its rooms and below."""
