"""What all measurements share: pictures, measures, books of codes, the machine, results, pages."""
