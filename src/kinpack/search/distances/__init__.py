"""Distance tables and how hits are ranked; may import describers."""
