"""Archives: immutable segments, numbered manifests, and the stores that hold them."""
