"""Files of manifests of any content, each with the checksum that belongs to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def sealed(body: Mapping[str, Any]) -> bytes:
    """The file of a manifest that says this, as whoever knows the format can make it."""
    checksum = hashlib.sha256(_spelled(body)).hexdigest()
    return _spelled({**body, "checksum": checksum}) + b"\n"


def _spelled(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode("ascii")
