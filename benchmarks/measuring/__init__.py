"""What all measurements share: pictures, the machine, result files, pages filled from them."""
