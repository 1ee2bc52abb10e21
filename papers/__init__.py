"""Reproductions of the two papers that kinpack joins, on the data sets of the benchmarks."""
