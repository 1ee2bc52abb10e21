"""Collections of images: folders, lists, data sets; may import pictures and errors."""
