"""The describer: a picture has one code however it is asked for; no file is believed blindly."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.tiny_describer import GOLDEN, soft_picture, tiny_describer
from kinpack.codec.codec import Codec
from kinpack.describers.describer import Describer
from kinpack.describers.describing import packed_codes, product_codes
from kinpack.errors import CodecError, ImageError
from kinpack.networks.container import DESCRIBER_FILE, Container, read_container
from kinpack.pictures.images import composite_on_white

# Pictures whose latents are far from the border between two words: no rounding changes a code.
CODES = {
    (0, 20, 24, 3): [4, 3, 0, 13],
    (1, 20, 24, 3): [0, 3, 0, 15],
    (3, 20, 24, 3): [14, 9, 11, 5],
    (5, 20, 24, 3): [14, 9, 6, 5],
    (0, 7, 50, 1): [9, 6, 8, 15],
    (1, 7, 50, 1): [14, 0, 15, 5],
    (3, 7, 50, 1): [8, 14, 3, 1],
    (2, 7, 50, 4): [10, 9, 7, 5],
}


def content() -> tuple[dict[str, Any], dict[str, bytes], dict[str, Any]]:
    found = read_container(GOLDEN.read_bytes(), where="tiny", kind=DESCRIBER_FILE)
    return dict(found.header), dict(found.blobs), dict(found.arrays)


def refusal(header: Any, blobs: Any, arrays: Any) -> str:
    """What is said of a file of this content, by loading it or else by its first use."""
    data = Container(header, blobs, arrays, kind=DESCRIBER_FILE).to_bytes()
    with pytest.raises(CodecError) as caught:
        product_codes(Describer.from_bytes(data, where="some.kine"), [soft_picture(0)])
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_golden_codes() -> None:
    describer = tiny_describer()
    pictures = [soft_picture(*key) for key in CODES]
    assert product_codes(describer, pictures).tolist() == list(CODES.values())
    packed = describer.quantiser.pack(np.array(list(CODES.values()), np.uint8))
    assert packed_codes(describer, pictures) == [code.tobytes() for code in packed]
    assert describer.code_bytes == 2
    assert describer.describer_id == hashlib.sha256(GOLDEN.read_bytes()).hexdigest()
    assert describer.to_bytes() == GOLDEN.read_bytes()
    facts = describer.info()
    assert (facts["name"], facts["version"], facts["side"]) == ("tiny", 1, 32)
    assert (facts["M"], facts["K"], facts["code_bytes"], facts["mirrored"]) == (4, 16, 2, True)
    assert describer.mirrored


def test_a_picture_has_the_same_latents_alone_and_in_any_batch() -> None:
    pictures = [soft_picture(seed, 3 + seed, 70 - seed) for seed in range(64)]
    alone = np.concatenate([tiny_describer().describe([one]) for one in pictures])
    for threads in (1, 3, None):
        together = tiny_describer().describe(pictures, threads=threads)
        assert together.tobytes() == alone.tobytes()
    assert tiny_describer().describe(pictures[::-1]).tobytes() == alone[::-1].tobytes()
    assert tiny_describer().describe([]).shape == (0, 16)
    assert product_codes(tiny_describer(), []).shape == (0, 4)
    assert packed_codes(tiny_describer(), []) == []


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 80), st.integers(1, 80), st.sampled_from([1, 3, 4]), st.integers(0, 99))
def test_sizes_colours_and_mirror_images(height: int, width: int, channels: int, seed: int) -> None:
    rng = np.random.default_rng([seed, height, width])
    picture = rng.integers(0, 256, (height, width, channels), np.uint8)
    describer = tiny_describer()
    z = describer.describe([picture])
    assert np.isfinite(z).all()
    assert np.allclose((z.reshape(4, 4) ** 2).sum(axis=1), 1, atol=1e-5)
    assert describer.describe([picture[:, ::-1]]).tobytes() == z.tobytes()
    assert describer.describe([composite_on_white(picture)]).tobytes() == z.tobytes()
    twice = picture.repeat(2, axis=0).repeat(2, axis=1)
    assert np.allclose(describer.describe([twice]), z, atol=1e-4)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ImageError, match="image 1"):
        product_codes(tiny_describer(), [soft_picture(0), np.zeros((3, 3, 2), np.uint8)])


def test_every_flipped_byte_and_truncation_is_refused() -> None:
    data = GOLDEN.read_bytes()
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 1 << place % 8
        for damaged in (bytes(broken), data[:place]):
            with pytest.raises(CodecError, match=r"^x\.kine: ") as caught:
                Describer.from_bytes(damaged, where="x.kine")
            assert "\n" not in str(caught.value)
    with pytest.raises(CodecError, match="damaged or truncated"):
        Describer.from_bytes(data + b"\0", where="x.kine")


def test_codecs_and_describers_are_not_mistaken(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match=r"name a \.kine file"):
        Describer.from_bytes(Codec.load("classic").to_bytes(), where="x")
    with pytest.raises(CodecError, match=r"name a \.kinc file"):
        Codec.load(GOLDEN)
    with pytest.raises(CodecError, match="cannot read the describer"):
        Describer.load(tmp_path / "none.kine")
    with pytest.raises(CodecError, match="cannot read the describer"):
        Describer.load("a\0b")


def test_the_shipped_describer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, bytes_at_most in (("look", 1_000_000), ("photo", 3_500_000), ("classic", 10_000)):
        shipped = Describer.load(name)
        assert shipped.n_bytes <= bytes_at_most
        assert shipped.name == name
        assert product_codes(shipped, [soft_picture(0)]).shape == (1, shipped.quantiser.M)
    monkeypatch.setattr(Describer, "KIND", replace(DESCRIBER_FILE, shipped=("missing",)))
    with pytest.raises(CodecError, match=r"name a \.kine file"):
        Describer.load("missing")


def test_senseless_content_is_refused() -> None:
    header, blobs, arrays = content()
    assert "lacks the array 'codebooks'" in refusal(header, blobs, {})
    assert "describes no pictures" in refusal(header, {}, arrays)
    assert "in two ways" in refusal({**header, "descriptor": {}}, blobs, arrays)
    assert "projection" in refusal(header, blobs, {**arrays, "mean": np.zeros(4, np.float32)})
    for side in (0, -1, 513, 32.0, True, "32", None, [32]):
        assert "asks for pictures of side" in refusal({**header, "side": side}, blobs, arrays)
    assert "asks for pictures" in refusal({}, blobs, arrays)
    senseless: list[Any] = ["stretch", "", None, True, 1, ["squeeze"], {}]
    for key in ("fit", "enlarge"):
        for value in senseless:
            assert f"of {key!r} is not known" in refusal({**header, key: value}, blobs, arrays)
    assert "does not run" in refusal({**header, "side": 16}, blobs, arrays)
    books = arrays["codebooks"]
    for wrong in (books[:0], books[0], np.full_like(books, np.nan), books.repeat(17, axis=1)):
        refusal(header, blobs, {"codebooks": wrong})
    assert "not (1, 8)" in refusal(header, blobs, {"codebooks": books[:2]})
    for graph in (b"", b"no graph", blobs["network"][:900]):
        message = refusal(header, {"network": graph}, arrays)
        assert "network 'network' of the describer does not load" in message
    assert "the describer file is faulty" in message


def test_numbers_that_are_not_finite_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    describer = Describer.load(GOLDEN)
    network: Any = describer._network
    monkeypatch.setattr(type(network), "__call__", lambda *_: np.full((1, 16), np.nan, np.float32))
    with pytest.raises(CodecError, match="not finite"):
        product_codes(describer, [soft_picture(0)])


def test_the_same_content_has_the_same_bytes() -> None:
    found = read_container(GOLDEN.read_bytes(), where="tiny", kind=DESCRIBER_FILE)
    assert found.to_bytes() == GOLDEN.read_bytes()
    renamed = Describer.from_container(replace(found, header={**found.header, "name": "other"}))
    assert renamed.describer_id != tiny_describer().describer_id
    assert product_codes(renamed, [soft_picture(1)]).tolist() == [CODES[1, 20, 24, 3]]
