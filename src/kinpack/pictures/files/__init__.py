"""Files of single formats: cut ones, odd ones, their pages and sizes; may import errors."""
