"""The describer lite0: EfficientNet-Lite0, its words, and how both become a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinpack.learn.lite.making import make_lite0 as make_lite0
else:
    from kinpack.lazy_names import lazy_names

    __all__, __getattr__, __dir__ = lazy_names(
        "kinpack.learn.lite", {"making": "make_lite0"}, extra="photo"
    )
