"""What was found, to be looked at: as one picture, or as a page that stands by itself."""
