"""Engines that scan codes, and the table that names them; may import distances, describers."""
