"""What an archive in a browser costs, and what a server and a page withstand."""
