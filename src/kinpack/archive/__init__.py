"""`Archive`, which opens, reads, searches and changes one; may import all but the command."""
