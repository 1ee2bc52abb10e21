"""Parts of a processor switched off: by the math libraries' own switches, or by emulating another.

NumPy and the OpenBLAS in it have switches that are read when they are loaded. onnxruntime's own
kernels have none, so that older processors are emulated for it, by QEMU's user mode where it is
installed (Debian's package ``qemu-user``).
"""

from __future__ import annotations

import ctypes
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

QEMU = "qemu-x86_64"

_umath: Any = import_module("numpy._core._multiarray_umath")


@dataclass(frozen=True)
class Processor:
    """A processor, or what is left of the one at hand.

    Attributes:
        name: in words.
        switches: environment variables.
        model: QEMU's name of an emulated one; None for the one at hand.
    """

    name: str
    switches: Mapping[str, str]
    model: str | None = None

    def command(self, *words: str) -> list[str]:
        """A command line that runs this Python with further words."""
        emulator = [] if self.model is None else [shutil.which(QEMU) or QEMU, "-cpu", self.model]
        return [*emulator, sys.executable, *words]


AT_HAND = Processor("as it is", {})


def switched() -> list[Processor]:
    """The processor at hand, without AVX-512, and without AVX2 too; as it is alone if not x86."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return [AT_HAND]
    enabled = [name for name in _umath.__cpu_dispatch__ if _umath.__cpu_features__.get(name)]
    wide = [name for name in enabled if name.startswith("AVX512") or name == "X86_V4"]
    return [
        AT_HAND,
        _without("AVX-512 switched off", wide, "Haswell"),
        _without("AVX-512 and AVX2 switched off", enabled, "Sandybridge"),
    ]


def emulated() -> list[Processor]:
    """Older processors that can be emulated here: one with AVX2, one with SSE4.2 at most."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which(QEMU) is None:
        return []
    return [
        Processor("emulated Haswell (AVX2)", {}, "Haswell"),
        Processor("emulated Nehalem (SSE4.2)", {}, "Nehalem"),
    ]


def _without(name: str, features: list[str], core: str) -> Processor:
    switches = {"OPENBLAS_CORETYPE": core}
    if features:
        switches["NPY_DISABLE_CPU_FEATURES"] = " ".join(features)
    return Processor(name, switches)


def numpy_features() -> list[str]:
    """Features beyond its baseline that NumPy uses in this process."""
    return [name for name in _umath.__cpu_dispatch__ if _umath.__cpu_features__.get(name)]


def blas_core() -> str | None:
    """Processor core whose kernels NumPy's OpenBLAS uses in this process; None if not known."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    paths = {line.split()[-1] for line in lines if "openblas" in line}
    for path in sorted(paths):
        library = ctypes.CDLL(path)
        for name in ("scipy_openblas_get_corename64_", "openblas_get_corename"):
            if hasattr(library, name):
                ask = getattr(library, name)
                ask.restype = ctypes.c_char_p
                return bytes(ask()).decode()
    return None
