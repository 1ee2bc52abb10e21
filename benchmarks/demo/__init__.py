"""Pack, search and unpack photographic thumbnails as a user does; imports kinpack alone."""
