"""One turn of guided fuzzing, in a process of its own: atheris never gives it back.

    python -m reliability.guided_turn TARGET [WORDS OF LIBFUZZER ...]

The package is loaded anew, so that every line of it tells when it is reached.
"""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module


def main() -> None:
    """Fuzz until the time is over or something is found, or merge, as the words say."""
    name, *words = sys.argv[1:]
    warnings.simplefilter("ignore")
    os.environ["KINPACK_MAX_PIXELS"] = str(1 << 20)
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["kinpack"]):  # so that it is not loaded before
        targets = import_module("reliability.guided_targets")
        import_module("kinpack.archive.segments.segment")
    read, _ = targets.beginning(name)
    change = targets.CHANGES.get(name)

    def changed(data: bytes, most: int, seed: int) -> bytes:
        """Change an input as its sort asks for, or byte for byte."""
        made = change(data, seed) if seed % 2 else None
        if made is None or len(made) > most:
            made = atheris.Mutate(data, most)
        return bytes(made)

    more = {} if change is None else {"custom_mutator": changed}
    # Merging starts this program again by the name that it is given.
    atheris.Setup([os.environ[PROGRAM], *words], lambda data: targets.tried(read, data), **more)
    atheris.Fuzz()


PROGRAM = "KINPACK_GUIDED_TURN"
"""The environment variable that holds the path of a program that runs this with its words."""

if __name__ == "__main__":
    main()
