"""Pinned run-time packages: all that is needed, at the versions that are tested, by checksum."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
ENGINES = {"constriction", "onnxruntime"}


def pins(file: str) -> dict[str, tuple[Requirement, list[str]]]:
    """Name -> requirement and its checksums."""
    text = re.sub(r"\\\n", " ", (ROOT / file).read_text("utf-8"))
    found: dict[str, tuple[Requirement, list[str]]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            requirement, *hashes = line.split("--hash=sha256:")
            pinned = Requirement(requirement.strip())
            found[canonicalize_name(pinned.name)] = (pinned, [one.strip() for one in hashes])
    return found


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-musl.txt"])
def test_every_pin_has_checksums_and_the_version_that_is_tested(file: str) -> None:
    tested: dict[str, str] = {
        canonicalize_name(one.name): str(one.specifier)
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
        for one in [Requirement(line)]
    }
    for name, (pinned, hashes) in pins(file).items():
        assert str(pinned.specifier) == tested[name]
        assert hashes
        assert all(re.fullmatch("[0-9a-f]{64}", one) for one in hashes), name


def test_all_that_is_needed_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needed = project["tool"]["hatch"]["metadata"]["hooks"]["custom"]
    everywhere = {canonicalize_name(Requirement(one).name) for one in needed["everywhere"]}
    engines = {canonicalize_name(Requirement(one).name) for one in needed["engines"]}
    assert engines == ENGINES
    assert everywhere | engines <= set(pins("requirements.txt"))
    musl = set(pins("requirements-musl.txt"))
    assert everywhere <= musl
    assert not engines & musl
    assert musl < set(pins("requirements.txt"))
