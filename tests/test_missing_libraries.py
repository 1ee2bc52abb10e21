"""Without constriction, or without onnxruntime: the same bytes, and golden archives are drawn."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kinpack.archive.archive import Archive
from kinpack.codec.codec import Codec
from kinpack.describers.describer import Describer
from kinpack.entropy import plain_coder
from kinpack.entropy.library import Library, library
from kinpack.entropy.range_coder import LIMIT, RangeReader, RangeWriter, trimmed
from kinpack.entropy.tables import FrequencyTables
from kinpack.errors import CodecError, PayloadError
from kinpack.metrics import psnr
from kinpack.networks.networks import engines
from tests.test_golden import ARCHIVES, GOLDEN, expected, is_as_it_was

pytestmark = pytest.mark.slow

COUNTS = [[1, 1], [5, 1, 1], [1, 60, 700, 65_536, 650, 40, 2], [3] * 40 + [1], [1, 65_536]]
LOWS = [0, -1, -3, 10, 0]


@contextmanager
def absent(module: str) -> Iterator[None]:
    """A block in which a package cannot be imported."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [module, *(one for one in sys.modules if one.startswith(f"{module}."))]:
            patch.setitem(sys.modules, name, None)
        patch.setitem(sys.modules, f"{module}.stream", None)
        library.cache_clear()
        engines.cache_clear()
        yield
    library.cache_clear()
    engines.cache_clear()


def test_constriction_codes_where_it_is_installed() -> None:
    queue = pytest.importorskip("constriction").stream.queue
    library.cache_clear()
    assert library().RangeEncoder is queue.RangeEncoder
    assert library().RangeDecoder is queue.RangeDecoder


@pytest.fixture
def plain() -> Iterator[None]:
    with absent("constriction"):
        assert library().RangeEncoder is plain_coder.RangeEncoder
        yield


def tables() -> FrequencyTables:
    """Tables whose models are made anew, by the library of the moment."""
    return FrequencyTables.from_lists(COUNTS, LOWS)


def write(symbols: np.ndarray, contexts: np.ndarray) -> bytes:
    writer = RangeWriter(tables())
    writer.push(symbols, contexts)
    return writer.finish()


pairs = st.lists(
    st.tuples(
        st.one_of(st.integers(-4, 50), st.integers(-LIMIT + 1, LIMIT - 1)), st.integers(0, 4)
    ),
    max_size=80,
).map(lambda found: np.array(found, np.int64).reshape(-1, 2).T)


@pytest.mark.slow
@settings(max_examples=150)
@given(pairs)
def test_messages_are_the_same_bytes_and_read_each_others(part: np.ndarray) -> None:
    symbols, contexts = part
    theirs = write(symbols, contexts)
    with absent("constriction"):
        ours = write(symbols, contexts)
        assert ours == theirs
        assert (RangeReader(theirs, tables()).pull(contexts) == symbols).all()
    assert (RangeReader(ours, tables()).pull(contexts) == symbols).all()


def test_long_messages_carry_over_many_words(rng: np.random.Generator) -> None:
    contexts = np.full(20_000, 4)  # likely entries at the upper end: carries run through words
    symbols = (rng.random(20_000) < 0.9999).astype(np.int64)
    theirs = write(symbols, contexts)
    with absent("constriction"):
        assert write(symbols, contexts) == theirs


def test_a_carry_runs_through_full_words() -> None:
    coder = plain_coder.RangeEncoder()
    coder.words, coder.lower = [7, (1 << 32) - 1, (1 << 32) - 1], (1 << 64) - 1
    coder.encode(np.array([1], np.int32), plain_coder.Uniform(2))
    assert coder.words == [8, 0, 0]


@settings(max_examples=60)
@given(
    hnp.arrays(
        np.int64, st.tuples(st.integers(1, 20), st.integers(2, 9)), elements=st.integers(1, 1 << 16)
    ),
    st.data(),
)
def test_rows_of_counts_are_coded_alike(rows: np.ndarray, data: st.DataObject) -> None:
    n, size = rows.shape
    symbols = data.draw(hnp.arrays(np.int32, n, elements=st.integers(0, size - 1)))
    counts = rows.astype(np.float64)
    messages = []
    for coding in (library(), plain_library()):
        coder = coding.RangeEncoder()
        coder.encode(symbols, coding.Categorical(perfect=False), counts)
        messages.append(trimmed(coder))
    assert messages[0] == messages[1]
    padded = messages[0] + b"\0" * (-len(messages[0]) % 4)
    words = np.frombuffer(padded, ">u4").astype(np.uint32)
    reader = plain_coder.RangeDecoder(words)
    found = reader.decode(plain_coder.Categorical(perfect=False), counts)
    assert (found == symbols).all()


def plain_library() -> Library:
    with absent("constriction"):
        return library()


@pytest.mark.usefixtures("plain")
def test_damage_is_refused_or_drawn_and_never_crashes(rng: np.random.Generator) -> None:
    contexts = rng.integers(0, 4, 200)
    data = write(tables().lows[contexts], contexts)
    for _ in range(200):
        broken = bytes(rng.integers(0, 256, len(data), dtype=np.uint8))
        with suppress(PayloadError):
            assert len(RangeReader(broken, tables()).pull(contexts)) == 200
    ends = RangeReader(b"\xff" * 16, tables())
    with pytest.raises(PayloadError, match="damaged"):
        ends.pull(contexts)


MISSING = ["constriction", "onnxruntime"]


def soft_picture(rng: np.random.Generator) -> np.ndarray:
    soft = np.cumsum(np.cumsum(rng.normal(size=(40, 56, 3)), 0), 1)
    return np.clip(128 + 4 * soft, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("name", ARCHIVES)
def test_golden_archives_are_drawn_without(missing: str, name: str) -> None:
    with absent(missing), Archive.open(GOLDEN / name) as archive:
        for (_, image), was in zip(archive.images(), expected(name)["images"], strict=True):
            assert is_as_it_was(image, was), was["id"]


def test_learned_payloads_are_the_same_without_constriction(rng: np.random.Generator) -> None:
    image = soft_picture(rng)
    packets = Codec.load("default").encode([image], classic="never")
    with absent("constriction"):
        codec = Codec.load("default")
        assert codec.encode([image], classic="never") == packets
        assert (codec.decode(packets)[0] == Codec.load("default").decode(packets)[0]).all()


def test_learned_payloads_without_onnxruntime(rng: np.random.Generator) -> None:
    """What decodes is exact; what encodes rounds otherwise, so that now and then a symbol moves."""
    images = [soft_picture(rng) for _ in range(4)]
    theirs = Codec.load("default").encode(images, classic="never")
    with absent("onnxruntime"):
        codec = Codec.load("default")
        ours = codec.encode(images, classic="never")
        drawn = codec.decode([*theirs, *ours])
    again = Codec.load("default").decode([*theirs, *ours])
    assert all((one == other).all() for one, other in zip(drawn, again, strict=True))
    assert sum(one == other for one, other in zip(ours, theirs, strict=True)) >= 2
    for one, other in zip(ours, theirs, strict=True):
        assert abs(len(one.payload) - len(other.payload)) < 10
    for image, alike in zip(drawn[:4], drawn[4:], strict=True):
        assert psnr(image, alike) > 40


def test_codes_that_find_are_the_same_without_onnxruntime(rng: np.random.Generator) -> None:
    image = soft_picture(rng)
    described = Describer.load("photo").describe([image])
    with absent("onnxruntime"):
        np.testing.assert_allclose(Describer.load("photo").describe([image]), described, atol=1e-5)
        with pytest.raises(CodecError, match="not installed"):
            Codec.load("default", engine="onnxruntime").encode([image], classic="never")


def test_nothing_is_left_in_the_users_folder_and_nobody_is_told(tmp_path: Path) -> None:
    """Describing runs onnxruntime, which else notes an identity of the machine, and reports."""
    code = (
        "import os, numpy as np\n"
        "from kinpack.describers.describer import Describer\n"
        "Describer.load('look').describe([np.zeros((9, 9, 3), np.uint8)])\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"
    assert not list(tmp_path.iterdir())
