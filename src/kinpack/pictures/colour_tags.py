"""Colours that a file states in another way than by a profile: made a profile of."""

from __future__ import annotations

from typing import BinaryIO

import PIL.Image

from kinpack.pictures.formats import Format


def note_colours(picture: PIL.Image.Image, file: BinaryIO, found: Format | None) -> None:
    """Give an opened picture the profile of what its file states of its colours."""
