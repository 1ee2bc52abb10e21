"""Search: distance tables, scanning and ranking over product codes."""
