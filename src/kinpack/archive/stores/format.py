"""The format's number and the folder of the manifests: what makes a store an archive."""

from __future__ import annotations

FORMAT = 1
"""Number of the archive format that this version writes, and the newest that it reads."""

FOLDER = "manifests/"
"""Folder of the manifests, whose first one makes an archive."""
