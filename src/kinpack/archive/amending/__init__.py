"""What one commit changes of images that are there, payloads untouched; may import revisions."""
