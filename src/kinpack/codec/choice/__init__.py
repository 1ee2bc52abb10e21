"""Which payload an image gets; may import the payload kinds and what is below them."""
