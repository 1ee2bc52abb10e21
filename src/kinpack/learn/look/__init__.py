"""The describer `look`: its network, and the changed views that it learns to find again."""
