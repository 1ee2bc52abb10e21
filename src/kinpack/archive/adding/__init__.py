"""Images on their way into an archive; may import revisions and what is below them."""
