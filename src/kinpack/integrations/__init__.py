"""Other forms of an archive: files, exports; may import the archive and what is below it."""

from kinpack.integrations.exporting import export as export
from kinpack.integrations.unpacking import unpack as unpack

__all__ = ["export", "unpack"]
