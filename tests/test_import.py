"""The laws of imports: fast, without torch, and never upward in the house."""

from __future__ import annotations

import ast
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tiny_embedder import GOLDEN

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "kinpack"

# The house of docs/architecture.md: a room stands above all that it imports. Rooms of one floor
# do not import each other, so the ground floor is drawn with its own steps.
FLOORS = {
    "errors": 0.0,
    "colour": 0.5,
    "pixel_limit": 0.5,
    "nesting": 0.5,
    "images": 1.0,
    "metrics": 1.0,
    "area_reduction": 1.1,
    "items": 1.2,
    "huggingface": 1.4,
    "sources": 1.5,
    "entropy": 2.0,
    "codec": 3.0,
    "search": 4.0,
    "learn": 4.0,
    "archive": 5.0,
    "web": 6.0,
    "integrations": 6.0,
    "cli": 7.0,
    "__main__": 8.0,
}

# What `import kinpack`, and even the command's own module, leave until it is needed.
HEAVY = (
    "constriction",
    "datasets",
    "faiss",
    "lightning",
    "obstore",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "torch",
)

# The only room that may name torch.
LEARNING = "learn"


def run_python(code: str, *arguments: str, cwd: Path | None = None) -> str:
    """Run code in a fresh interpreter; its standard output, or the test fails with its errors."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules() -> list[Path]:
    """All modules of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def room_of(module: Path) -> str:
    """The room a module is in: the first folder or module name below the package."""
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(module: Path) -> Iterator[tuple[int, str]]:
    """Every import of a module, at its top or inside a function, as (line, absolute name)."""
    package = ["kinpack", *module.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(module.read_text(), filename=str(module))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def test_import_is_fast() -> None:
    code = "import time; t = time.process_time(); import kinpack; print(time.process_time() - t)"
    run_python(code)  # compiles the modules
    seconds = statistics.median(float(run_python(code)) for _ in range(5))
    assert seconds < 0.3  # of the processor: others on the machine take no part


@pytest.mark.parametrize("name", ["kinpack", "kinpack.cli"])
def test_import_leaves_heavy_packages_alone(name: str) -> None:
    loaded = json.loads(
        run_python(f"import sys, json, {name}; print(json.dumps(list(sys.modules)))")
    )
    assert not set(HEAVY) & set(loaded)


def test_every_module_has_a_floor() -> None:
    rooms = {room_of(module) for module in modules()} - {"__init__"}
    assert rooms <= set(FLOORS), "say in FLOORS, and in docs/architecture.md, where it stands"


def test_no_import_runs_upward() -> None:
    wrong = []
    for module in modules():
        room = room_of(module)
        if room == "__init__":
            continue  # names its rooms for type checkers, and imports them when first used
        for line, name in imports(module):
            package, _, rest = name.partition(".")
            below = rest.split(".")[0]
            if package != "kinpack" or below in {room, "", "__version__"}:
                continue
            if FLOORS.get(below, math.inf) >= FLOORS[room]:  # a name of kinpack itself is the roof
                wrong.append(f"{module.relative_to(ROOT)}:{line}: {room} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_only_learning_names_torch() -> None:
    wrong = [
        f"{module.relative_to(ROOT)}:{line}: {name}"
        for module in modules()
        if room_of(module) != LEARNING
        for line, name in imports(module)
        if name.split(".")[0] in {"torch", "lightning", "pytorch_lightning", "torchmetrics"}
    ]
    assert not wrong, "\n".join(wrong)


COMMANDS = """
import json, sys
from kinpack.cli import app  # main() would end this process with the first command

for arguments in json.loads(sys.argv[1]):
    sys.argv = ["kinpack", *arguments]
    try:
        app()
    except SystemExit as stop:
        if stop.code:
            raise
    learning = {"torch", "lightning", "sklearn"} & set(sys.modules)
    if learning:
        raise RuntimeError(f"kinpack {arguments[0]} imported {sorted(learning)}")
"""


@pytest.mark.parametrize("codec", ["classic", "default"])
def test_the_run_time_never_imports_torch(tmp_path: Path, codec: str) -> None:
    rng = np.random.default_rng(5)
    pictures = tmp_path / "pictures" / "noise"
    pictures.mkdir(parents=True)
    for index in range(3):
        pixels = rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"{index}.png")
    commands = [
        [
            "pack",
            "pictures",
            "-o",
            "packed.kin",
            "--codec",
            codec,
            "--quiet",
            "--embedder",
            str(GOLDEN),
        ],
        ["add", "packed.kin", "pictures", "--on-duplicate", "skip", "--quiet"],
        ["search", "packed.kin", "pictures/noise/0.png", "-k", "2", "--json"],
        ["get", "packed.kin", "noise/1.png", "-o", "one.png", "--quiet"],
        ["unpack", "packed.kin", "-o", "unpacked", "--quiet"],
        ["verify", "packed.kin", "--quiet"],
        ["info", "packed.kin", "--json"],
        ["ls", "packed.kin", "--json"],
        ["rm", "packed.kin", "noise/1.png", "--quiet"],
        ["history", "packed.kin", "--json"],
        ["compact", "packed.kin", "--quiet"],
        ["gc", "packed.kin", "--quiet"],
        ["seal", "packed.kin", "-o", "packed.kin.zip", "--quiet"],
        ["unseal", "packed.kin.zip", "-o", "again.kin", "--quiet"],
        ["copy", "packed.kin.zip", "-o", "copy.kin", "--quiet"],
        ["repair", "packed.kin", "-o", "saved.kin", "--quiet"],
        ["export", "packed.kin", "-o", "dataset", "--format", "parquet", "--quiet"],
    ]
    run_python(COMMANDS, json.dumps(commands), cwd=tmp_path)


def test_what_pip_installs_stays_under_400_mb() -> None:
    script = ROOT / "benchmarks" / "installed_size.py"
    done = subprocess.run(
        [sys.executable, script, "--json"], capture_output=True, text=True, check=True
    )
    sizes: dict[str, int] = json.loads(done.stdout)
    assert {"kinpack", "numpy", "pyarrow", "onnxruntime", "pillow"} <= set(sizes)
    assert "torch" not in sizes
    assert sum(sizes.values()) < 400_000_000
