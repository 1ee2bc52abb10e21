"""Losses, patches, warm starts and the training loop; may import the models."""
