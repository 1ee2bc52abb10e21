"""Engines that scan codes; may import the distances and describers."""
