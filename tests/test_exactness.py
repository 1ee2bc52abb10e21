"""The benchmarks of exactness and speed: their arithmetic, and small runs."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from benchmarks.exactness import decoding_ways, exactness, processor_switches
from benchmarks.measuring import data
from benchmarks.speed import coding_speed, peak_memory, speed
from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image
from kinpack.sources.items import Item

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


def packet(width: int, height: int, channels: int, payload: bytes = b"\x00\xff") -> Packet:
    return Packet(width, height, channels, Kind.LEARNED, 60, payload)


def images(rng: np.random.Generator, count: int) -> list[Image]:
    y, x = np.mgrid[:32, :32]
    a, b = rng.uniform(2, 5, (2, count, 1, 1))
    waves = 128 + 50 * np.sin(x / a) + 40 * np.cos(y / b) + rng.normal(0, 3, (count, 32, 32))
    return list(np.repeat(waves.astype(np.uint8)[..., None], 3, axis=3))


def test_packets_go_through_json() -> None:
    for one in (packet(3, 4, 1), packet(65535, 1, 4, b"")):
        assert exactness.from_json(exactness.to_json(one)) == one


def test_differing_pixels_are_counted_once() -> None:
    packets = [packet(3, 2, 3), packet(4, 1, 1), packet(2, 2, 4)]
    reference = np.zeros(3 * 2 * 3 + 4 + 2 * 2 * 4, np.uint8)
    changed = reference.copy()
    changed[[3, 4, 5]] = 1  # all channels of one pixel
    changed[[18 + 4, 18 + 4 + 7]] = 1  # one channel each of two pixels of the last picture
    found = exactness.compare(packets, reference.tobytes(), changed.tobytes())
    assert found == {"pixels": 14, "differing_pixels": 3, "differing_images": 2}
    same = exactness.compare(packets, reference.tobytes(), reference.tobytes())
    assert same["differing_pixels"] == same["differing_images"] == 0
    with pytest.raises(KinpackError, match="samples"):
        exactness.compare(packets, reference.tobytes(), reference.tobytes()[:-1])


def test_parts_are_those_of_their_packets() -> None:
    packets = [packet(i + 1, 2, 3) for i in range(6)]
    parts = [bytes([i]) * (2 * (i + 1) * 3) for i in range(6)]
    assert exactness.part_of(packets, b"".join(parts), [0, 3, 5]) == parts[0] + parts[3] + parts[5]
    assert decoding_ways.spread(packets, 3) == [0, 2, 5]
    assert decoding_ways.spread(packets, 60) == list(range(6))


def test_every_way_is_there_once() -> None:
    listed = decoding_ways.ways()
    assert listed[0] == decoding_ways.Way("onnxruntime")
    plain = [way.to_dict() for way in listed]
    assert all(plain.count(one) == 1 for one in plain)
    processors = {way.processor.name for way in listed}
    for name in processors:
        own = [way for way in listed if way.processor.name == name]
        assert {(way.engine, way.threads, way.batch) for way in own} == {
            (engine, threads, batch)
            for engine in ("onnxruntime", "numpy")
            for threads in (1, 2)
            for batch in (1, 64)
        }
        assert {way.optimise for way in own if way.engine == "onnxruntime"} == {True, False}


def test_odd_sizes(rng: np.random.Generator) -> None:
    made = decoding_ways.odd_images(images(rng, 12))
    assert [image.shape for image in made] == list(decoding_ways.ODD_SIZES)
    assert all(image.flags.c_contiguous for image in made)


def test_drawings_are_coded_pixel_by_pixel(rng: np.random.Generator) -> None:
    folder = Path(__file__).parent / "golden" / "format-1" / "causal.kin" / "codecs"
    codec = Codec.load(str(next(folder.iterdir())))
    made = images(rng, 12)
    assert [image.shape[2] for image in decoding_ways.drawings(made)] == [1] * 6 + [4] * 6
    packets = decoding_ways.encoded(codec, made[:12])
    said = exactness.described(codec, packets)
    assert said["packets"]["causal"] >= 6  # where the tiny codec's transform takes more
    assert said["with_alpha"] == 7 * len(decoding_ways.QUALITIES)
    assert sum(said["packets"].values()) == len(packets)


def test_switches_switch_off() -> None:
    program = (
        "from benchmarks.exactness import processor_switches as p; "
        "print(' '.join(p.numpy_features()), p.blas_core(), sep=';')"
    )
    found = []
    for processor in processor_switches.switched():
        done = subprocess.run(
            processor.command("-c", program),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env=dict(processor.switches),
        )
        words, core = done.stdout.strip().split(";")
        found.append((words.split(), core))
    for features, core in found[1:]:
        assert not any(name.startswith("AVX512") for name in features)
        assert core in ("Haswell", "Sandybridge", "None")
    if len(found) == 3:
        assert found[2][0] == []


def test_all_coders_are_timed(rng: np.random.Generator) -> None:
    made = images(rng, 6)
    items = [Item(str(i), None, lambda: made[0]) for i in range(6)]
    pictures = data.Pictures("made-up", items, made)
    with ThreadPoolExecutor(2) as workers:
        listed = [
            coding_speed.ours(Codec.load("classic"), "auto", 2),
            *(coding_speed.theirs(n, r, workers) for n, r in coding_speed.RIVALS.items()),
        ]
        rows = coding_speed.measure(listed, pictures, psnr=33, threads=2, seed=0)
    assert [row["codec"] for row in rows] == ["kinpack", *coding_speed.RIVALS]
    for row in rows:
        assert row["psnr_mean"] == pytest.approx(33, abs=1.5)
        assert len(row["encode_repetitions"]) == coding_speed.REPETITIONS
        assert sorted(row["decode_repetitions"])[1] == row["decode_images_per_s"]
        assert row["encode_ms"] > 0
    assert rows[1]["encode_over_avif"] == rows[1]["decode_over_avif"] == 1
    assert rows[1]["encode_ms_over_avif"] == rows[1]["decode_ms_over_avif"] == 1
    assert rows[2]["encode_ms_over_avif"] < 1  # speed 6 codes faster than speed 4


def test_limits_are_of_the_row_that_counts() -> None:
    rows = [
        {
            "codec": "kinpack",
            "classic": classic,
            "data": speed.TOY,
            "side": 32,
            "threads": threads,
            "decode_images_per_s": 400.0 * threads,
            "encode_over_avif": 30.0 if classic == "never" else 0.5,
        }
        for threads in (1, 2)
        for classic in ("never", "auto")
    ]
    found = {one["figure"]: one for one in speed.limits_reached(rows)}
    assert (found["decode_images_per_s"]["measured"], found["decode_images_per_s"]["reached"]) == (
        800,
        "must",
    )
    assert found["encode_over_avif"]["reached"] == "goal"
    rows[2]["decode_images_per_s"] = 499.0
    assert speed.limits_reached(rows)[0]["reached"] == "no"
    assert speed.limits_reached([{**row, "side": 64} for row in rows]) == []


def test_peak_memory_is_a_high_water_mark() -> None:
    """In a process of its own: this one may have held more before."""
    lines = (
        "import numpy as np; from benchmarks.speed import peak_memory",
        "before = peak_memory.peak_mib()",
        "held = np.ones(96 << 20, np.uint8)",
        "grown = peak_memory.peak_mib() - before",
        "del held",
        "print(grown, peak_memory.peak_mib() - before)",
    )
    done = subprocess.run(
        [sys.executable, "-c", "; ".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    grown, after = map(float, done.stdout.split())
    assert 80 < grown < 200
    assert after > grown - 2  # the kernel counts in batches


def test_mosaic_repeats_its_images(rng: np.random.Generator) -> None:
    mosaic = peak_memory.mosaic(images(rng, 3), 512)
    assert mosaic.shape == (512, 512, 3)
    np.testing.assert_array_equal(mosaic[:128, :128], mosaic[:128, 384:512])
