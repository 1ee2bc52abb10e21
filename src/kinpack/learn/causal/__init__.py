"""Learning causal networks; may import freezing, the codec's causal room and below."""
