"""A collection at a glance: clusters, a map, and the Gram matrix of its classes."""
