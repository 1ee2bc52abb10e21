"""An archive in a browser: a page for any static host, and a server; may import the archive."""
