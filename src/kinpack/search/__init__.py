"""Finding the nearest codes: distances and the engines that scan; may import describers."""
