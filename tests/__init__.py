"""The tests: laws of the package, of its pages, and of what measures and tries it."""
