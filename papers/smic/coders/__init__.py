"""Coders e′ of a matrix of quantised latents: independent of, and joint over, the items."""
