"""Work on many things at once, in other processes, on this machine or on others."""
