"""What all measurements share: pictures, measures of likeness, books of codes, the machine, result files, pages."""
