"""How well archives find changed pictures again, beside older ways of finding them."""
