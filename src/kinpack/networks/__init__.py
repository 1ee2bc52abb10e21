"""Networks of a file: its container, its engines; may import their graphs and entropy."""
