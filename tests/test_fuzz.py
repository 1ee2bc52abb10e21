"""The fuzzing: the same cases from a seed, and none of a few of each sort is a finding."""

from __future__ import annotations

import json
import random
import time
import warnings
from collections.abc import Callable

import pytest

import reliability.fuzz as fuzzing
from kinpack.errors import KinpackError
from reliability import ROOT
from reliability.fuzz import _NAMES, chance_of, tried
from reliability.fuzz_seeds import Seeds, make_seeds
from reliability.fuzz_targets import Case, cases
from reliability.mutate import NUMBERS, mutated, mutated_json, mutated_part, varint

EACH = 8

#: sort of file -> cases of seed 0 that were findings once, and are mended
FOUND: dict[str, tuple[int, ...]] = {"picture": (440,), "file of codes": (14, 20, 156)}


@pytest.fixture(scope="module")
def seeds() -> Seeds:
    return make_seeds()


@pytest.fixture(scope="module")
def all_cases(seeds: Seeds, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return cases(seeds, tmp_path_factory.mktemp("fuzz") / "folder")


def test_the_sorts_are_those_that_are_counted(all_cases: dict[str, Case]) -> None:
    assert set(all_cases) == set(_NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", _NAMES)
def test_no_case_is_a_finding(
    name: str, all_cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINPACK_MAX_PIXELS", str(1 << 20))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in (*range(EACH), *FOUND.get(name, ())):
            _, fault = tried(all_cases[name], chance_of(0, name, number))
            assert fault is None, f"case {number}: {fault}"


def raises(error: Exception) -> Callable[[random.Random], None]:
    def case(chance: random.Random) -> None:
        raise error

    return case


def chained() -> KinpackError:
    error = KinpackError("refused")
    error.__cause__ = MemoryError()
    return error


@pytest.mark.parametrize(
    ("error", "refused", "fault"),
    [
        (KinpackError("one line"), True, None),
        (KinpackError("two\nlines"), True, "several lines"),
        (chained(), True, "memory ran out"),
        (ValueError("no"), False, "ValueError"),
        (MemoryError(), False, "MemoryError"),
    ],
)
def test_findings_are_told_from_refusals(error: Exception, refused: bool, fault: str) -> None:
    was_refused, found = tried(raises(error), random.Random(0))
    assert was_refused == refused
    assert (found is None) if fault is None else fault in str(found)


def test_slow_cases_are_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "SLOW", 0.01)

    def slow(chance: random.Random) -> None:
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass

    assert "slow" in str(tried(slow, random.Random(0))[1])
    assert tried(lambda chance: None, random.Random(0)) == (False, None)


def test_mutations_come_from_the_seed() -> None:
    data, values = bytes(range(200)), {"a": [1, {"b": "text"}], "c": None}
    made = [mutated(data, random.Random(n), [b"other"]) for n in range(300)]
    assert made == [mutated(data, random.Random(n), [b"other"]) for n in range(300)]
    assert sum(one != data for one in made) > 250
    assert mutated(b"", random.Random(0))
    for n in range(100):
        part = mutated_part(data, 50, 60, random.Random(n))
        assert part.startswith(data[:50])
        assert part.endswith(data[60:])
    changed = [mutated_json(values, random.Random(n)) for n in range(300)]
    assert sum(one != values for one in changed) > 200
    again = [mutated_json(changed[n - 1], random.Random(n)) for n in range(300)]
    assert again == [mutated_json(changed[n - 1], random.Random(n)) for n in range(300)]
    assert values == {"a": [1, {"b": "text"}], "c": None}
    assert mutated_json(3, random.Random(0)) is not values


def test_varints_are_read_back() -> None:
    for number in NUMBERS:
        data = varint(number)
        assert sum((byte & 127) << 7 * place for place, byte in enumerate(data)) == number


@pytest.mark.parametrize(("name", "failures"), [("fuzz", 0), ("fuzz_hour", 2)])
def test_the_result_files_count_what_they_say(name: str, failures: int) -> None:
    result = json.loads((ROOT / "reliability" / "results" / f"{name}.json").read_text())
    assert set(result["sorts"]) >= set(_NAMES) - {"folder"}  # which the hour was without
    assert result["cases"] == sum(one["cases"] for one in result["sorts"].values())
    for one in result["sorts"].values():
        assert one["cases"] == one["refused"] + one["read"] > 0
    assert result["failures"] == len(result["faults"]) == failures
