"""Files to arrays and back, colours; may import limits and errors."""
