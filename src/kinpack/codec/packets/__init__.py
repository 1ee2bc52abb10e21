"""The nouns of coding: packet, candidate, quality, rates; may import pictures and errors."""
