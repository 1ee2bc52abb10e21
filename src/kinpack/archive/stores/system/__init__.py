"""What the system offers: its locks, and calls by path where it opens no folders."""
