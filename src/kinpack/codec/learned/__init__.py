"""Learned payloads: latents, their context, their synthesis; may import causal and below."""
