"""The targets of guided fuzzing: what its corpus holds is read or refused, without atheris too."""

from __future__ import annotations

import json
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path

import pytest

from kinpack.errors import KinpackError
from reliability import guided
from reliability.fuzz_seeds import Seeds, make_seeds
from reliability.fuzz_targets import WrongError
from reliability.guided import CORPUS
from reliability.guided_targets import CHANGES, TARGETS, Drawn, tried


@pytest.fixture(scope="module")
def seeds() -> Seeds:
    return make_seeds()


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_no_input_of_the_corpus_is_a_finding(
    name: str, seeds: Seeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINPACK_MAX_PIXELS", str(1 << 20))
    read, first = TARGETS[name](seeds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in first:
            if name == "folder":
                tried(read, data)  # what it changes in the folder may be refused
            else:
                read(data)  # whole: not even refused
        kept = sorted((CORPUS / name).glob("*"))
        for data in [b"", b"\0" * 40, first[0][:-1], *(file.read_bytes() for file in kept)]:
            tried(read, data)


@pytest.mark.slow
def test_an_index_with_any_byte_changed_is_refused_or_read(
    seeds: Seeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All sums hold: what is behind them is reached, guard after guard."""
    monkeypatch.setenv("KINPACK_MAX_PIXELS", str(1 << 20))
    read, (index,) = TARGETS["segment"](seeds)
    said = []
    for place in range(0, len(index), 11):
        for bits in (1, 0x80):
            data = bytearray(index)
            data[place] ^= bits
            try:
                read(bytes(data))
            except KinpackError as error:
                said.append(str(error))
    assert len(said) > len(index) // 11
    assert not [text for text in said if "\n" in text]


@pytest.mark.slow
def test_seeds_are_the_same_each_time(seeds: Seeds) -> None:
    assert make_seeds() == seeds  # else what was kept would be refused for its names alone


def test_an_input_decides_all_chances() -> None:
    def drawn(data: bytes) -> list[object]:
        chance = Drawn(data)
        values = [chance.randrange(6), chance.choice("abc"), chance.random(), chance.randbytes(3)]
        return [*values, chance.sample(range(9), 3)]

    assert drawn(bytes(range(40))) == drawn(bytes(range(40)))
    assert drawn(bytes(range(40))) != drawn(bytes(range(40, 80)))
    assert drawn(b"") == drawn(bytes(99))


def test_inputs_are_changed_in_their_own_form(seeds: Seeds) -> None:
    for name, change in CHANGES.items():
        whole = TARGETS[name](seeds)[1][0]
        assert len({change(whole, seed) for seed in range(9)}) > 4
        assert change(b"neither", 1) is None


@pytest.mark.slow
@pytest.mark.parametrize("found", [False, True])
def test_turns_add_up_in_the_result_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: bool
) -> None:
    """Without atheris: a program in its place says what libFuzzer says."""
    said = "stat::number_of_executed_units: 70\n#9 DONE cov: 12 ft: 3"
    program = f"import sys; print({said!r}, file=sys.stderr); sum(range(9**7)); sys.exit({found:d})"
    monkeypatch.setattr(guided, "COMMAND", [sys.executable, "-c", program])
    monkeypatch.setattr(guided, "CORPUS", tmp_path / "corpus")
    monkeypatch.setattr(guided, "find_spec", lambda _: True)
    output = tmp_path / "guided.json"
    words = ["--targets=manifest,codec", f"--output={output}", f"--folder={tmp_path}"]
    counts = []
    minutes = 0.001
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["guided", f"--minutes={minutes}", *words])
        with pytest.raises(SystemExit) if found else nullcontext():
            guided.main()
        counts.append(json.loads(output.read_text()))
        # More than the first run took, however slow the machine.
        minutes = counts[0]["targets"]["manifest"]["minutes"] + 0.001
    first, second = (one["targets"]["manifest"] for one in counts)
    assert first["inputs"] == 70 * first["turns"] > 0
    assert second["inputs"] == 70 * second["turns"] > first["inputs"]
    assert second["minutes"] >= first["minutes"]
    assert second["covered"] == 12
    assert [one["failures"] > 0 for one in counts] == [found, found]


def test_a_refusal_of_several_lines_is_a_finding() -> None:
    def read(data: bytes) -> None:
        raise KinpackError("two\nlines")

    with pytest.raises(WrongError, match="several"):
        tried(read, b"")
