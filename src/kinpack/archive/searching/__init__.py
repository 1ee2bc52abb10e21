"""A query answered of one revision's codes, filtered, scanned, compared; may import search."""
