"""The five binary hashing methods that PQ-VAE is compared with, written from their papers.

Each module has ``fit(x, *, bits, seed, settings) -> Hasher``: it learns from vectors, without
labels, and gives what turns vectors into bits.
"""
