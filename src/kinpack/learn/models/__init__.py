"""Networks of torch, bottlenecks, quantisers; may import errors alone."""
