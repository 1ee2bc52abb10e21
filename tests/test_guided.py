"""The targets of guided fuzzing: what its corpus holds is read or refused, without atheris too."""

from __future__ import annotations

import warnings

import pytest

from kinpack.errors import KinpackError
from reliability.fuzz_seeds import Seeds, make_seeds
from reliability.fuzz_targets import WrongError
from reliability.guided import CORPUS
from reliability.guided_targets import TARGETS, tried


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
            read(data)  # whole: not even refused
        kept = sorted((CORPUS / name).iterdir())
        assert kept
        for data in [b"", b"\0" * 40, first[0][:-1], *(file.read_bytes() for file in kept)]:
            tried(read, data)


def test_a_refusal_of_several_lines_is_a_finding() -> None:
    def read(data: bytes) -> None:
        raise KinpackError("two\nlines")

    with pytest.raises(WrongError, match="several"):
        tried(read, b"")
