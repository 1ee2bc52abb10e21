"""Semantic alignment for multi-item compression (ICIP 2022), reproduced and taken to true bits."""
