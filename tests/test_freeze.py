"""Freezing: the codec file does what the trained model does, and its integers are exact."""

from __future__ import annotations

import copy
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

pytest.importorskip("onnx")

import torch

from kinpack.codec.codec import Codec
from kinpack.errors import CodecError, PayloadError
from kinpack.learn.freezing.freeze import freeze
from kinpack.learn.freezing.scales import UNIT
from kinpack.learn.models.model import CodecModel
from kinpack.networks.container import read_container
from tests.integer_networks import decode_latents, encode_latents, latents_in_steps, side_codes
from tests.tiny_codec import HEADER, NETWORK, patches, picture, tiny_codec, tiny_model

pytestmark = pytest.mark.learn

QUALITIES = (1, 37, 60, 99)


@pytest.fixture(scope="module")
def model() -> CodecModel:
    return tiny_model()


@pytest.fixture(scope="module")
def codec() -> Codec:
    return tiny_codec()


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    return np.stack([picture(48, 32, 500 + i) for i in range(9)])


@pytest.mark.parametrize("quality", QUALITIES)
def test_symbols_come_back_exactly(codec: Codec, pictures: Any, quality: int) -> None:
    coder, codes = codec.learned_coder(), side_codes(codec, list(pictures))
    y_hat, payloads = encode_latents(coder, pictures, codes, quality=quality)
    found = decode_latents(coder, payloads, codes, size=(48, 32), quality=quality)
    assert found.dtype == np.int64
    assert np.array_equal(found, y_hat)
    assert np.abs(y_hat).max() > 5 * UNIT
    # Another code is another context: it does count.
    others = ((codes + 1) % NETWORK.K).astype(np.uint8)
    with suppress(PayloadError):
        wrong = decode_latents(coder, payloads, others, size=(48, 32), quality=quality)
        assert not np.array_equal(wrong, y_hat)


def test_the_side_code_comes_back_exactly(codec: Codec, pictures: Any) -> None:
    images = list(pictures)
    packets = codec.encode(images, quality=60, classic="never", threads=1)
    side = codec.parts.side_code()
    assert side is not None
    codes, _ = side.taken_off([packet.payload for packet in packets])
    assert np.array_equal(codes, side_codes(codec, images))
    drawn = codec.learned_coder().encode(images, codes, quality=60)[1]
    for image, again in zip(drawn, codec.decode(packets, threads=1), strict=True):
        assert np.array_equal(image, again)


@pytest.mark.parametrize("quality", QUALITIES)
def test_symbols_do_not_depend_on_the_batch(codec: Codec, pictures: Any, quality: int) -> None:
    coder, codes = codec.learned_coder(), side_codes(codec, list(pictures))
    y_hat, payloads = encode_latents(coder, pictures, codes, quality=quality)
    order = [4, 0, 8]
    for rows in ([0], [8], [3, 5], order):
        some = [payloads[i] for i in rows]
        found = decode_latents(coder, some, codes[rows], size=(48, 32), quality=quality)
        assert np.array_equal(found, y_hat[rows])


def test_symbols_do_not_depend_on_the_threads(codec: Codec, pictures: Any) -> None:
    codes = side_codes(codec, list(pictures))
    y_hat, payloads = encode_latents(codec.learned_coder(), pictures, codes, quality=50)
    data = codec.to_bytes()
    for threads in (1, 2, 3):
        other = Codec(read_container(data, where="x"), data, threads=threads).learned_coder()
        found = decode_latents(other, payloads, codes, size=(48, 32), quality=50)
        assert np.array_equal(found, y_hat)


@pytest.mark.parametrize("quality", QUALITIES)
def test_pixels_are_near_those_of_torch(
    codec: Codec, model: CodecModel, pictures: Any, quality: int
) -> None:
    coder, codes = codec.learned_coder(), side_codes(codec, list(pictures))
    payloads, drawn = coder.encode(list(pictures), codes, quality=quality)
    y_hat = decode_latents(coder, payloads, codes, size=(48, 32), quality=quality)
    with torch.no_grad():
        real = torch.from_numpy(y_hat).float() / UNIT
        picture = model.draw(real, torch.full((len(pictures),), float(quality)))
    levels = ((picture + 0.5) * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    apart = np.abs(np.stack(drawn).astype(int) - levels.astype(int))
    assert apart.max() <= 2
    assert (apart == 0).mean() > 0.85
    assert levels.std() > 10  # they are pictures


def test_latents_are_those_of_torch(codec: Codec, model: CodecModel, pictures: Any) -> None:
    """The quantised latents lie about the model's own; where bits outweigh, a step nearer to 0."""
    coder, codes = codec.learned_coder(), side_codes(codec, list(pictures))
    y_hat, _ = encode_latents(coder, pictures, codes, quality=50)
    with torch.no_grad():
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255 - 0.5
        y = model.latent(x, torch.full((len(pictures),), 50.0)).numpy()
    off = np.abs(y - y_hat / UNIT)
    assert off.max() < 2
    assert (off < 0.5 + 0.1).mean() > 0.9  # the weights are stored in float16
    assert off.mean() > 0.1


def test_codes_are_those_of_torch(codec: Codec, model: CodecModel) -> None:
    many = patches(64, seed=3)
    with torch.no_grad():
        z = model.descriptor(torch.from_numpy(many).float() / 255 - 0.5)
    images = list(np.ascontiguousarray(many.transpose(0, 2, 3, 1)))
    agree = side_codes(codec, images) == model.product.indices(z).numpy()
    assert agree.mean() > 0.98
    assert np.array_equal(side_codes(codec, images[:1]), side_codes(codec, images)[:1])


def test_predictions_are_those_of_torch(codec: Codec, model: CodecModel, pictures: Any) -> None:
    """The integer context networks follow the real ones closely: that is what bytes hang on."""
    coder, codes = codec.learned_coder(), side_codes(codec, list(pictures))
    y_hat, _ = encode_latents(coder, pictures, codes, quality=50)
    n, latents = len(pictures), latents_in_steps(coder)
    with torch.no_grad():
        z_q = model.product.decode(torch.from_numpy(codes.astype(np.int64)))
        e, quality = model.code_context(z_q), torch.full((n,), 50.0)
        for index, step in enumerate(NETWORK.steps):
            seen = y_hat.copy()
            seen[:, step.start :] = 0
            real = torch.from_numpy(seen).float() / UNIT
            mean, log2_scale = model.predict(index, real, e, quality)
            planes = latents._planes(codes, np.full(n, 50))
            where, units, tables = latents._predict(index, seen, planes, np.full(n, 50))
            wanted = mean.numpy()[:, :, where]
            off = units / UNIT - wanted
            assert np.abs(off).mean() < 0.15 * np.abs(wanted).mean()
            number = 4 * (log2_scale.numpy()[:, :, where] + 4)
            assert np.abs(tables + 0.5 - number.clip(0, 40)).mean() < 0.8
            assert wanted.std() > 0.1


def test_tables_are_learned(codec: Codec, model: CodecModel) -> None:
    """The frozen tables cost less on new pictures than Gaussians would."""
    from kinpack.learn.freezing.tables import gaussian_tables

    new = np.stack([picture(32, 32, 900 + i) for i in range(40)])
    coder = codec.learned_coder()
    y, each = coder.analyse(new, 55), np.full(len(new), 55)
    symbols, contexts = coder.latents.symbols(y, side_codes(codec, list(new)), quality=each)
    assert len(symbols) == 40 * NETWORK.latent * 16
    assert len(np.unique(contexts)) > 3
    deviations = 2.0 ** (-4 + (np.arange(40) + 0.5) / 4)
    first = gaussian_tables(deviations.astype(np.float64))
    fitted = latents_in_steps(coder).choice.tables.cross_entropy(symbols, contexts)
    assert fitted < 0.95 * first.cross_entropy(symbols, contexts)
    # And they are what payloads cost.
    payloads = encode_latents(coder, new, side_codes(codec, list(new)), quality=55)[1]
    assert sum(map(len, payloads)) <= fitted / 8 * 1.001 + 3 * len(payloads)


@pytest.mark.slow
def test_freezing_repeats(codec: Codec, model: CodecModel) -> None:
    again = freeze(model, patches(48), description=HEADER)
    assert again.to_bytes() == codec.to_bytes()
    assert again.codec_id == codec.codec_id


def test_bytes_come_back(codec: Codec, pictures: Any, tmp_path: Path) -> None:
    data = codec.to_bytes()
    again = Codec.from_bytes(data, where="tiny.kinc")
    assert again.to_bytes() == data
    assert again.codec_id == codec.codec_id
    assert again.n_bytes == codec.n_bytes == len(data)
    path = tmp_path / "tiny.kinc"
    path.write_bytes(data)
    images = list(pictures)
    packets = codec.encode(images, quality=45, classic="never", threads=1)
    for image, found in zip(
        codec.decode(packets), Codec.load(path).decode(packets, threads=1), strict=True
    ):
        assert np.array_equal(image, found)


def test_the_header_survives(codec: Codec) -> None:
    again = Codec.from_bytes(codec.to_bytes(), where="tiny.kinc")
    for key, value in HEADER.items():
        assert again.header[key] == value
    assert again.name == "tiny"
    assert again.is_learned
    side = again.parts.side_code()
    assert side is not None
    assert (side.quantiser.M, side.quantiser.K) == (NETWORK.M, NETWORK.K)


def test_damage_is_told(codec: Codec, tmp_path: Path) -> None:
    data = codec.to_bytes()
    path = tmp_path / "tiny.kinc"
    rng = np.random.default_rng(0)
    for place in [0, 8, 12, 16, len(data) - 1, *rng.integers(0, len(data), 20).tolist()]:
        broken = bytearray(data)
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(broken))
        with pytest.raises(CodecError, match=r"tiny\.kinc: "):
            Codec.load(path)
    for length in (0, 7, 8, 40, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(CodecError, match=r"tiny\.kinc: "):
            Codec.load(path)
    path.write_bytes(data[:8] + (9).to_bytes(4, "little") + data[12:])
    with pytest.raises(CodecError, match=r"format 9 .*upgrade"):
        Codec.load(path)
    with pytest.raises(CodecError, match="cannot read the codec"):
        Codec.load(tmp_path / "missing.kinc")


@pytest.mark.slow
def test_channels_that_never_fire_do_not_spoil_the_codec(codec: Codec, model: CodecModel) -> None:
    """A dead channel has no reach to take its unit from; its weights must fit all the same."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        first = other.context[0][0]  # type: ignore[index]
        assert isinstance(first, torch.nn.Conv2d)
        assert first.bias is not None
        first.weight[1].mul_(50)
        first.bias[1] = -1e4
        first.weight[2].zero_()
        first.bias[2] = 0
    frozen = freeze(other, patches(8), description=HEADER)
    images = np.stack([picture(32, 32, i) for i in range(3)])
    coder, codes = frozen.learned_coder(), side_codes(frozen, list(images))
    y_hat, payloads = encode_latents(coder, images, codes, quality=50)
    found = decode_latents(coder, payloads, codes, size=(32, 32), quality=50)
    assert np.array_equal(found, y_hat)


def test_networks_beyond_exact_arithmetic_are_refused(model: CodecModel) -> None:
    other = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if name == "context.1.4.weight":
                parameter.mul_(1e6)
    with pytest.raises(CodecError, match="leave exact arithmetic"):
        freeze(other, patches(8), description=HEADER)


@pytest.mark.slow
def test_larger_patches_freeze_as_well(model: CodecModel) -> None:
    frozen = freeze(model, patches(4, side=64), description=HEADER)
    images = np.stack([picture(64, 64, i) for i in range(2)])
    coder, codes = frozen.learned_coder(), side_codes(frozen, list(images))
    y_hat, payloads = encode_latents(coder, images, codes, quality=50)
    found = decode_latents(coder, payloads, codes, size=(64, 64), quality=50)
    assert np.array_equal(found, y_hat)
