"""PQ-VAE, Wu and Flierl's product-quantised autoencoder for retrieval, and the rivals it beats."""
