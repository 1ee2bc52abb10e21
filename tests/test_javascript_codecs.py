"""Payloads that a codec has learned are drawn by the reader in JavaScript as by the package."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from fakes.fake_codec import FakeSource
from kinpack.archive.archive import Archive
from kinpack.codec.learned.learned import LearnedCoder, LearnedImages
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.codec.packets.self_test import SelfTest
from kinpack.entropy.varint import join_parts
from kinpack.errors import PayloadError
from kinpack.networks.byte_layers import SIGNED, BlockLayer, ByteLayer, ByteLayers
from kinpack.networks.container import Container, read_container
from kinpack.networks.integer_layers import IntegerLayer, IntegerLayers, Reading, WholeLayer
from kinpack.networks.integer_network import ByteNetwork, ExactNetwork, IntegerNetwork
from tests import lattice_coders
from tests.javascript_layers import archive_of, drawn
from tests.javascript_runs import READER, needs_node, node, run_jobs, value_of
from tests.pictures import waves

pytestmark = [needs_node, pytest.mark.slow]

GOLDEN = Path(__file__).parent / "golden" / "format-1"


def test_learned_images_of_the_default_codec(tmp_path: Path) -> None:
    """At every step of quality, of sides that are no multiples of 8; alpha and grey among them."""
    images = [
        (f"{quality}/{channels}", quality, waves(height, width, channels, seed=quality))
        for quality, channels, height, width in (
            (1, 3, 33, 50),
            (40, 3, 64, 64),
            (75, 1, 24, 31),
            (99, 4, 20, 41),
        )
    ]
    path = tmp_path / "a.kin"
    with Archive.create(path, "default", describer=None) as archive:
        for name, quality, image in images:
            source = FakeSource([(name, None, image)])
            archive.add(source, quality=quality, classic="never")
        assert {entry.kind for entry in archive.entries()} == {Kind.LEARNED}
        wanted = [archive.read(name) for name, *_ in images]
    jobs = [{"way": "layers", "where": path, "id": name} for name, *_ in images]
    for wasm in (True, False):
        for result, image in zip(run_jobs(jobs, wasm=wasm), wanted, strict=True):
            assert np.array_equal(drawn(value_of(result), image.shape), image)


@pytest.mark.parametrize("name", ["learned", "causal"])
def test_payloads_of_any_bytes_are_drawn_or_refused_alike(name: str, tmp_path: Path) -> None:
    """Of damaged payloads whose checksums hold: the package's pixels, or refused as it refuses."""
    rng = np.random.default_rng(9)
    with Archive.open(GOLDEN / f"{name}.kin") as archive:
        codec = archive.codec
        whole = [
            archive.packet(one.id) for one in archive.entries() if one.kind.name == name.upper()
        ]
    packets = []
    for packet in whole[:6]:
        for _ in range(8):
            payload = bytearray(packet.payload)
            for place in rng.integers(0, len(payload), 3):
                payload[place] = rng.integers(0, 256)
            packets.append(
                replace(packet, payload=bytes(payload[: rng.integers(1, len(payload) + 1)]))
            )
        packets.append(replace(packet, payload=bytes([255]) * 40))
    names = archive_of(tmp_path / "a.kin", packets, codec.to_bytes())
    jobs = [{"way": "layers", "where": tmp_path / "a.kin", "id": one} for one in names]
    refused = 0
    for packet, result in zip(packets, run_jobs(jobs), strict=True):
        try:
            (image,) = codec.decode([packet])
        except PayloadError:
            refused += 1
            if "value" in result:  # the file of an alpha plane, which a page's own decoder refuses
                with pytest.raises((OSError, ValueError)):
                    drawn(result["value"], (packet.height, packet.width, packet.channels))
            else:
                assert result["error"] == "PayloadError"
        else:
            assert np.array_equal(drawn(value_of(result), image.shape), image)
    assert 0 < refused < len(packets)


def test_a_codec_that_draws_otherwise_is_refused(tmp_path: Path) -> None:
    """Its own test packets tell: a changed weight, all of whose sums hold."""
    path = GOLDEN / "learned.kin"
    with Archive.open(path) as archive:
        content = read_container(archive.codec.to_bytes(), where="codec")
        packet = archive.packet("rgb")
    bias = content.arrays["synthesis_bias0"].copy()
    bias[:] += 4000
    arrays = {**content.arrays, "synthesis_bias0": bias}
    changed = Container(content.header, content.blobs, arrays).to_bytes()
    names = archive_of(tmp_path / "a.kin", [packet], changed)
    (result,) = run_jobs([{"way": "layers", "where": tmp_path / "a.kin", "id": names[0]}])
    assert result["error"] == "ArchiveError"
    assert "test packets" in result["message"]


CHANNELS = lattice_coders.CHANNELS + 1


def integer_synthesis(rng: np.random.Generator) -> IntegerLayers:
    """Two scales, a layer that is added, a whole layer beside: of bounds within 0 and 255."""

    def layer(channels: int, out: int, **values: Any) -> IntegerLayer:
        return IntegerLayer(
            weight=rng.integers(-40, 41, (out, channels, 3, 3)).astype(np.int8),
            bias=rng.integers(-4000, 4000, out).astype(np.int32),
            shift=rng.integers(0, 7, out).astype(np.uint8),
            reading=Reading(rng.integers(0, 6, channels).astype(np.uint8), values.pop("reads")),
            **values,
        )

    wide = {"low": -30_000, "high": 30_000}
    whole = WholeLayer(
        rng.integers(-3000, 3000, (192, CHANNELS)).astype(np.int16),
        rng.integers(-6000, 6000, 192).astype(np.int32),
        shift=9,
        shuffle=8,
        drop=7,
        low=0,
        high=255,
    )
    layers = (
        layer(CHANNELS, 12, reads=-255, shuffle=2, **wide),
        layer(3, 3, reads=0, adds=1, **wide),
        layer(3, 48, reads=-100, shuffle=4, **wide),
    )
    return IntegerLayers(layers, whole)


def byte_synthesis(rng: np.random.Generator) -> ByteLayers:
    """Two streams, bytes that the next layer alone takes, and what is added to the stream."""

    def layer(channels: int, out: int, low: int, *, grows: bool = True, **values: Any) -> ByteLayer:
        if "reads_low" in values:
            values["reads"] = rng.integers(0, 7, channels).astype(np.uint8)
        return ByteLayer(
            rng.integers(-20, 21, (out, channels, 3, 3)).astype(np.int8),
            rng.integers(-900, 900, out).astype(np.int32),
            rng.integers(3, 8, out).astype(np.uint8),
            low,
            grow=rng.integers(0, 5, out).astype(np.uint8) if grows else None,
            **values,
        )

    block = BlockLayer(
        rng.integers(-3000, 3000, (192, CHANNELS)).astype(np.int16),
        rng.integers(-600, 600, 192).astype(np.int32),
        shift=9,
        shuffle=8,
    )
    layers = (
        layer(CHANNELS, 12, SIGNED, reads_low=SIGNED, shuffle=2),
        layer(3, 2, 0, reads_low=0, grows=False),
        layer(2, 3, SIGNED, adds=True),
        layer(3, 48, SIGNED, reads_low=0, shuffle=4),
    )
    return ByteLayers(layers, block, 4)


def test_the_kernel_is_what_its_source_compiles_to(tmp_path: Path) -> None:
    made = tmp_path / "products_wasm.ts"
    done = node("kernel.mjs", made)
    assert done.returncode == 0, done.stderr.decode()
    assert made.read_text() == (READER / "src" / "networks" / made.name).read_text()


@pytest.mark.parametrize(
    ("sort", "wasm"),
    [("integer_networks", True), ("byte_networks", True), ("byte_networks", False)],
)
def test_codecs_with_a_lattice(sort: str, wasm: bool, tmp_path: Path) -> None:
    """Handmade ones, their networks random: of one latent, of long ones, of several tiles."""
    rng = np.random.default_rng(6)
    latents = lattice_coders.coder(2)
    reach = max(255, latents.latent.limit)
    synthesis: ExactNetwork[Any]
    if sort == "integer_networks":
        synthesis = IntegerNetwork(integer_synthesis(rng), reach=reach, name="s", engine="numpy")
    else:
        synthesis = ByteNetwork(byte_synthesis(rng), reach=reach, name="s", engine="numpy")
    coder = LearnedCoder(latents, analysis=cast(Any, None), synthesis=synthesis)
    images = LearnedImages(coder)
    packets = []
    for n, (height, width) in enumerate([(1, 1), (9, 40), (64, 17), (40, 270), (520, 12)]):
        messages = []
        quality = np.array([20 + 15 * n])
        for h, w in [(64, 2), (1, 2)] if height > 512 else [(-(-height // 8), -(-width // 8))]:
            y = lattice_coders.latents(n, 1, h, w)
            messages += latents.encode(y, quality=quality)[1]
        payload = join_parts(messages) if len(messages) > 1 else messages[0]
        packets.append(Packet(width, height, 3, Kind.LEARNED, 20 + 15 * n, payload))
    values, arrays = synthesis.layers.to_parts("synthesis")
    test = SelfTest.of(packets[:2], images)
    header = {
        "name": "handmade",
        "sort": "learned",
        "lattice": latents.latent.to_dict(),
        sort: {"synthesis": values},
        "test": {
            "payloads": [one.payload.hex() for one in packets[:2]],
            "sizes": [[one.height, one.width] for one in packets[:2]],
            "qualities": [one.quality for one in packets[:2]],
            "sha256": test.sha256,
        },
    }
    codec = Container(header, {}, {**latents.to_arrays(), **arrays}).to_bytes()
    names = archive_of(tmp_path / "a.kin", packets, codec)
    jobs = [{"way": "layers", "where": tmp_path / "a.kin", "id": name} for name in names]
    for packet, result in zip(packets, run_jobs(jobs, wasm=wasm), strict=True):
        (image,) = images.decode([packet])
        assert len(np.unique(image)) > 1
        assert np.array_equal(drawn(value_of(result), image.shape), image)


def test_codecs_that_lie_are_refused(tmp_path: Path) -> None:
    """Codec files of strangers, whose sums hold, with one thing that no codec has."""
    with Archive.open(GOLDEN / "learned.kin") as archive:
        content = read_container(archive.codec.to_bytes(), where="codec")
        packet = archive.packet("rgb")
    arrays, header = content.arrays, content.header
    latent, networks = header["latent"], header["integer_networks"]
    first = {**networks["context0"]["layers"][0]}
    rest = networks["context0"]["layers"][1:]

    def layer(**values: Any) -> dict[str, Any]:
        layers = [{**first, **values}, *rest]
        return {"integer_networks": {**networks, "context0": {"layers": layers}}}

    lies: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"sort": "classic"}, {}),
        ({"test": {**header["test"], "sha256": "0" * 64}}, {}),
        ({"test": {**header["test"], "sizes": [[4000, 4000]] * 4}}, {}),
        ({"latent": {**latent, "channels": 25}}, {}),
        ({"latent": {**latent, "steps": latent["steps"][:-1]}}, {}),
        ({"latent": {**latent, "limit": 1 << 20}}, {}),
        ({"latent": None}, {}),
        (layer(low=-(1 << 24)), {}),
        (layer(shuffle=3), {}),
        (layer(adds=1), {}),
        (layer(reads=5), {}),
        (layer(colour=1), {}),
        ({}, {"context0_bias0": arrays["context0_bias0"] + (1 << 24)}),
        ({}, {"context0_shift0": arrays["context0_shift0"] + np.uint8(23)}),
        ({}, {"context0_weight0": arrays["context0_weight0"].astype(np.int16)}),
        ({}, {"synthesis_bias0": arrays["synthesis_bias0"][:-1]}),
        ({}, {"table_counts": arrays["table_counts"] * 0}),
        ({}, {"table_starts": arrays["table_starts"][::-1].copy()}),
        ({}, {"step_units": arrays["step_units"] * 0}),
        ({}, {"inward_shifts": arrays["inward_shifts"] + 1000}),
        ({}, {"code_context": arrays["code_context"].astype(np.int64) + (1 << 20)}),
        ({}, {"codebooks": arrays["codebooks"][:-1]}),
    ]
    jobs = []
    for n, (other, others) in enumerate(lies):
        path = tmp_path / f"{n}.kin"
        changed = Container({**header, **other}, content.blobs, {**arrays, **others}).to_bytes()
        (name,) = archive_of(path, [packet], changed)
        jobs.append({"way": "layers", "where": path, "id": name})
    for result, lie in zip(run_jobs(jobs), lies, strict=True):
        assert result.get("error") in ("ArchiveError", "PayloadError"), lie
        assert "\n" not in result["message"]


def test_a_network_that_asks_for_too_much_is_refused(tmp_path: Path) -> None:
    """It is exact, fits, and draws its small test packets black; a larger image is a bomb."""
    with Archive.open(GOLDEN / "learned.kin") as archive:
        content = read_container(archive.codec.to_bytes(), where="codec")
        packet = archive.packet("tiles")
    arrays = dict(content.arrays)
    plain = {"low": 0, "high": 255, "shuffle": 1, "adds": 0, "reads": None}
    layers = [{**plain, "shuffle": 8}, plain, plain, plain]
    for i, (out, taken) in enumerate([(64, 25), (4096, 1), (4096, 4096), (3, 4096)]):
        arrays[f"synthesis_weight{i}"] = np.zeros((out, taken, 1, 1), np.int8)
        arrays[f"synthesis_bias{i}"] = np.zeros(out, np.int32)
        arrays[f"synthesis_shift{i}"] = np.zeros(out, np.uint8)
    test = content.header["test"]
    black = hashlib.sha256(bytes(3 * sum(h * w for h, w in test["sizes"]))).hexdigest()
    header = {
        **content.header,
        "integer_networks": {
            **content.header["integer_networks"],
            "synthesis": {"layers": layers},
        },
        "test": {**test, "sha256": black},
    }
    codec = Container(header, content.blobs, arrays).to_bytes()
    (name,) = archive_of(tmp_path / "a.kin", [packet], codec)
    (result,) = run_jobs([{"way": "layers", "where": tmp_path / "a.kin", "id": name}])
    assert result["error"] == "ArchiveError"
    assert "asks for too much" in result["message"]
