"""Learning: pictures to a codec file, with torch; may import its rooms, the codec and below."""
