"""What a wheel needs, and for which machines it is: one for musl, one for all others.

No marker tells musl from glibc, and onnxruntime and constriction have no wheels for musl. So a
wheel of its own, which installers prefer there, goes without them; kinpack's own code takes their
place. A wheel is for musl if it is built on such a machine, or with KINPACK_LIBC=musl.
"""

from __future__ import annotations

import os
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface
from packaging.tags import platform_tags

MACHINES = ("x86_64", "aarch64")  # those that pyarrow has wheels for


def is_for_musl() -> bool:
    """Tell whether the wheel that is built is the one for musl."""
    asked = os.environ.get("KINPACK_LIBC")
    if asked is not None:
        return asked == "musl"
    return any(tag.startswith("musllinux") for tag in platform_tags())


class Requirements(MetadataHookInterface):
    """Names what kinpack needs."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the engines to what is needed everywhere, but not for musl."""
        engines = [] if is_for_musl() else self.config["engines"]
        metadata["dependencies"] = sorted([*self.config["everywhere"], *engines])


class Tag(BuildHookInterface):  # type: ignore[type-arg]
    """Names the machines that a wheel is for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Tag the wheel for musl."""
        if self.target_name == "wheel" and version == "standard" and is_for_musl():
            machines = ".".join(f"musllinux_1_1_{machine}" for machine in MACHINES)
            build_data["tag"] = f"py3-none-{machines}"
