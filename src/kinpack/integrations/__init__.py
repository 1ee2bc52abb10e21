"""Other forms of an archive: files, exports; may import the archive and what is below it."""
