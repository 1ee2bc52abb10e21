"""Files to arrays and back, colours, reduction; may import limits and errors."""
