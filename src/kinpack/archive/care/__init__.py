"""What is done to an archive as a whole: compact, copy, verify; may import adding and below."""
