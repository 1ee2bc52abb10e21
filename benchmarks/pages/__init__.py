"""Write the tables of README.md and docs/ from the results; imports `measuring` and `rates`."""
