"""What all measurements share: pictures, books of codes, the machine, result files, pages."""
