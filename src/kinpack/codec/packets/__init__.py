"""The nouns of coding: target, packet, payload, rates; may import pictures and errors."""
