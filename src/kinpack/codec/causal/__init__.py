"""Causal payloads, pixel by pixel; may import classic, the packets, networks and entropy."""
