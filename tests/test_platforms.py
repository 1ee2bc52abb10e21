"""A plain `pip install kinpack` finds wheels on every machine: pip itself is asked, offline."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from benchmarks.ship.platforms import ENGINES, MACHINES, Machine, build_wheels, resolved

pytestmark = pytest.mark.slow

# Packages as indexes have them: with wheels for these machines alone.
WHEELS = {
    "constriction-0.5.0": (
        "manylinux_2_17_x86_64", "macosx_11_0_arm64", "macosx_10_12_x86_64", "win_amd64"
    ),
    "onnxruntime-1.31.0": (
        "manylinux_2_28_x86_64", "manylinux_2_28_aarch64", "macosx_14_0_arm64", "win_amd64"
    ),
    "onnxruntime-1.23.0": ("macosx_13_0_x86_64",),
    **dict.fromkeys(
        ("numpy-2.4.0", "pillow-13.0.0", "pyarrow-26.0.0", "rich-15.0.0", "typer-0.29.0"), ("any",)
    ),
}  # fmt: skip


def write_wheel(folder: Path, name: str, platform: str) -> None:
    package, version = name.split("-")
    head = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    with zipfile.ZipFile(folder / f"{name}-py3-none-{platform}.whl", "w") as file:
        file.writestr(f"{name}.dist-info/METADATA", head)
        file.writestr(
            f"{name}.dist-info/WHEEL",
            f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-{platform}\n",
        )
        file.writestr(f"{name}.dist-info/RECORD", "")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    pytest.importorskip("hatchling", reason="builds wheels")
    build_wheels(folder)
    for name, platforms in WHEELS.items():
        for platform in platforms:
            write_wheel(folder, name, platform)
    return folder


@pytest.mark.parametrize(
    "machine", [one for one in MACHINES if one.name != "Windows, ARM64"], ids=lambda one: one.name
)
def test_pip_finds_what_there_is(machine: Machine, index: Path) -> None:
    found = resolved(machine, "3.12", "--no-index", "--find-links", str(index))
    assert isinstance(found, dict), found
    assert {"kinpack", "numpy", "pyarrow"} <= set(found)
    wanted = {
        "Linux, ARM64, glibc": {"onnxruntime"},
        "Linux, x86-64, musl": set(),
        "Linux, ARM64, musl": set(),
    }
    assert set(ENGINES) & set(found) == wanted.get(machine.name, set(ENGINES))


def test_a_future_python_does_without_what_is_pinned(index: Path) -> None:
    found = resolved(MACHINES[0], "3.15", "--no-index", "--find-links", str(index))
    assert isinstance(found, dict), found
    assert "constriction" not in found
