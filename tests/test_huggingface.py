"""Hugging Face data sets as sources."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from kinpack.errors import ImageError, KinpackError, MissingExtraError, SourceError
from kinpack.pictures.picture_writing import save_image
from kinpack.sources.items import Source
from kinpack.sources.opening import open_source
from kinpack.sources.table_limits import ROWS, rows_at_once

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

FEATURES = {
    "id": {"dtype": "int64", "_type": "Value"},
    "img": {"_type": "Image"},
    "thumb": {"_type": "Image"},
    "kind": {"names": ["cat", "dog"], "_type": "ClassLabel"},
}


def png(level: int, folder: Path) -> bytes:
    file = folder / "one.png"
    save_image(np.full((2, 3, 1), level, np.uint8), file)
    data = file.read_bytes()
    file.unlink()
    return data


def table(levels: list[int | None], folder: Path, *, features: Any = FEATURES) -> Any:
    """Make a table whose rows hold grey pictures of the levels; the class is the level mod 2."""
    pictures = [None if v is None else {"bytes": png(v, folder), "path": None} for v in levels]
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        "id": pa.array(range(len(levels)), pa.int64()),
        "thumb": pa.array([None] * len(levels), picture),
        "img": pa.array(pictures, picture),
        "kind": pa.array([None if v is None else v % 2 for v in levels], pa.int64()),
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if features else None
    return pa.table(columns).replace_schema_metadata(metadata)


def write(path: Path, content: Any, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(content, path, **options)


def rows(source: Source) -> list[tuple[str, str | None, int]]:
    return [(item.id, item.label, int(item.load()[0, 0, 0])) for item in source]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of 3 splits; train has 2 shards, and row groups of 2 rows."""
    data = tmp_path / "pets" / "data"
    write(data / "train-00001-of-00002.parquet", table([3, 4], tmp_path))
    write(data / "train-00000-of-00002.parquet", table([0, 1, 2], tmp_path), row_group_size=2)
    write(data / "test-00000-of-00001.parquet", table([9], tmp_path))
    write(data / "extra-00000-of-00001.parquet", table([8], tmp_path))
    (tmp_path / "pets" / "README.md").write_text("about pets")
    return tmp_path / "pets"


TRAIN = [(f"train/0000{i}", ("cat", "dog")[i % 2], i) for i in range(5)]
TEST = [("test/00000", "dog", 9)]


def test_a_local_data_set(folder: Path) -> None:
    everything = open_source(folder)
    assert len(everything) == 7
    assert everything.name == str(folder)
    wanted = [*TRAIN, *TEST, ("extra/00000", "cat", 8)]
    assert rows(everything) == wanted
    assert rows(everything) == wanted  # again
    assert rows(open_source(folder / "data", split="train")) == TRAIN
    test = open_source(folder, split="test", size=1)
    assert [item.load().shape for item in test] == [(1, 1, 1)]
    one_file = open_source(folder / "data" / "test-00000-of-00001.parquet")
    assert rows(one_file) == TEST
    with pytest.raises(SourceError, match=r"'val'.*train, test, extra"):
        open_source(folder, split="val")


def test_pictures_make_a_folder_source(folder: Path) -> None:
    save_image(np.zeros((2, 2, 3), np.uint8), folder / "data" / "a.png")
    assert [item.id for item in open_source(folder)] == ["data/a.png"]


@pytest.mark.parametrize(
    ("file", "split"),
    [
        ("0000.parquet", "train"),
        ("validation/0000.parquet", "validation"),
        ("val.parquet", "validation"),
        ("mnist_test.parquet", "test"),
        ("dev-00000-of-00001.parquet", "dev"),
        ("default/test/0000.parquet", "test"),
    ],
)
def test_splits_are_found_in_names(file: str, split: str, tmp_path: Path) -> None:
    write(tmp_path / "set" / file, table([0], tmp_path))
    assert rows(open_source(tmp_path / "set")) == [(f"{split}/00000", "cat", 0)]


def test_several_configurations_are_refused(tmp_path: Path) -> None:
    for name in ("large", "small"):
        write(tmp_path / "set" / name / "train" / "0.parquet", table([0], tmp_path))
        write(tmp_path / "set" / name / "test" / "0.parquet", table([1], tmp_path))
    with pytest.raises(SourceError, match="large, small"):
        open_source(tmp_path / "set")
    assert rows(open_source(tmp_path / "set" / "small", split="test")) == [("test/00000", "dog", 1)]


def test_rows_without_picture_or_class(tmp_path: Path) -> None:
    content = table([1, None, 0], tmp_path)
    classes = pa.array([-1, None, 0], pa.int64())
    write(tmp_path / "set" / "train.parquet", content.set_column(3, "kind", classes))
    source = open_source(tmp_path / "set")
    assert [item.label for item in source] == [None, None, "cat"]
    with pytest.raises(ImageError, match=r"train/00001: .*no picture"):
        rows(source)
    write(tmp_path / "set" / "train.parquet", content.set_column(3, "kind", pa.array([0, 2, 0])))
    with pytest.raises(SourceError, match=r"train/00001 .*class 2"):
        list(open_source(tmp_path / "set"))


def test_memory_stays_flat(tmp_path: Path, rng: np.random.Generator) -> None:
    cells = pa.array([{"bytes": rng.bytes(20_000), "path": None} for _ in range(1000)])
    write(tmp_path / "set" / "train.parquet", pa.table({"image": cells}), row_group_size=25)
    del cells
    before, peak = pa.total_allocated_bytes(), 0
    for _ in open_source(tmp_path / "set"):
        peak = max(peak, pa.total_allocated_bytes())
    assert peak - before < 4_000_000  # of 20,000,000: a few row groups of 500,000


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    struct = pa.array([{"bytes": b"no picture", "path": "x"}])
    write(tmp_path / "set" / "train.parquet", pa.table({"image": struct}))
    (item,) = open_source(tmp_path / "set")
    with pytest.raises(ImageError, match="train/00000: not a"):
        item.load()


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [(["a", None], ["a", None]), ([3, 4], ["3", "4"]), ([0.5, 1.5], [None, None])],
)
def test_tables_without_the_hubs_description(
    labels: list[Any], wanted: list[Any], tmp_path: Path
) -> None:
    plain = table([5, 6], tmp_path, features=None).drop_columns(["thumb", "kind"])
    write(tmp_path / "set" / "train.parquet", plain.append_column("label", pa.array(labels)))
    source = open_source(tmp_path / "set")
    assert [item.label for item in source] == wanted
    assert [int(item.load()[0, 0, 0]) for item in source] == [5, 6]


def test_a_path_in_a_table_reads_no_file_of_this_machine(tmp_path: Path) -> None:
    save_image(np.zeros((2, 2, 3), np.uint8), tmp_path / "private.png")
    cell = {"bytes": None, "path": str(tmp_path / "private.png")}
    cells = pa.array([cell], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    write(tmp_path / "set" / "train.parquet", pa.table({"image": cells}))
    (item,) = open_source(tmp_path / "set")
    with pytest.raises(ImageError, match="the row holds no picture"):
        item.load()


def test_tables_that_cannot_serve_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "set" / "train.parquet"
    write(file, pa.table({"payload": [b"x"], "id": ["a"]}))
    with pytest.raises(SourceError, match="only payload, id"):
        open_source(tmp_path / "set")
    write(file, table([], tmp_path))
    with pytest.raises(SourceError, match=r"no images in .* no rows"):
        open_source(tmp_path / "set")
    for content in (b"", b"PAR1 is how it starts", b"PAR1" + bytes(100) + b"PAR1"):
        file.write_bytes(content)
        with pytest.raises(SourceError, match=r"set: .*cannot be read"):
            open_source(tmp_path / "set")


def test_damage_within_a_table_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "set" / "train.parquet"
    write(file, table(list(range(64)), tmp_path), row_group_size=32, write_page_checksum=True)
    data = bytearray(file.read_bytes())
    half = len(data) // 2
    data[half - 400 : half + 400] = bytes(800)
    file.write_bytes(data)
    with pytest.raises((SourceError, ImageError), match="set: "):
        rows(open_source(tmp_path / "set"))


def test_data_sets_written_by_the_datasets_package(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    images = rng.integers(0, 256, (70, 5, 4, 3), dtype=np.uint8)
    features = datasets.Features(
        {"label": datasets.ClassLabel(names=["no", "yes"]), "photo": datasets.Image()}
    )
    content = {
        "label": [i % 2 for i in range(70)],
        "photo": [PIL.Image.fromarray(image) for image in images],
    }
    made = datasets.Dataset.from_dict(content, features=features)
    (tmp_path / "parquet").mkdir()
    made.to_parquet(tmp_path / "parquet" / "test-00000-of-00001.parquet")
    datasets.DatasetDict({"test": made}).save_to_disk(tmp_path / "arrow")
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: made)
    sources = [open_source(tmp_path / kind) for kind in ("parquet", "arrow")]
    for source in [*sources, open_source("owner/name", split="test")]:
        for _ in range(2):
            assert [item.id for item in source] == [f"test/{i:05}" for i in range(70)]
        assert [item.label for item in source] == ["no", "yes"] * 35
        np.testing.assert_array_equal([item.load() for item in source], images)

    # Of a set without split the hub's order is kept, and paths that it fetched are followed.
    save_image(images[0], tmp_path / "fetched.png")
    paths = {"photo": [str(tmp_path / "fetched.png")], "label": [1]}
    fetched = datasets.Dataset.from_dict(paths, features=features)
    both = datasets.DatasetDict({"test": fetched, "train": made.select([5, 3])})
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: both)
    source = open_source("owner/name")
    assert source.name == "owner/name"
    assert len(source) == 3
    assert [item.id for item in source] == ["test/00000", "train/00000", "train/00001"]
    np.testing.assert_array_equal([item.load() for item in source], images[[0, 5, 3]])


def test_the_hub_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"owner/name: .*pip install 'kinpack\[datasets\]'"):
        open_source("owner/name")


def test_a_set_that_cannot_be_fetched_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def fail(name: str, split: str | None) -> None:
        raise ConnectionError("Couldn't reach the hub\nand a second line")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(SourceError, match=r"hub\); check the name") as caught:
        open_source("owner/name")
    assert "\n" not in str(caught.value)


@pytest.mark.shared
def test_cifar10(shared: Path) -> None:
    test = open_source(shared / "cifar10", split="test")
    assert len(test) == 10_000
    names = "cat ship ship airplane frog frog automobile frog cat automobile"
    first = list(islice(test, 10))
    assert [item.label for item in first] == names.split()
    assert [item.id for item in first] == [f"test/{i:05}" for i in range(10)]
    assert {item.load().shape for item in first} == {(32, 32, 3)}
    assert len(open_source(shared / "cifar10")) == 60_000
    grey = open_source(shared / "fashion_mnist", split="test")
    assert next(iter(grey)).load().shape == (28, 28, 1)


@pytest.mark.slow
@pytest.mark.parametrize("dictionary", [False, True])
def test_few_bytes_become_no_gibibyte(tmp_path: Path, dictionary: bool) -> None:
    cell = {"bytes": bytes(1 << 28), "path": None}
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    bomb = pa.table({"img": pa.array([cell], picture)})
    write(tmp_path / "train.parquet", bomb, compression="zstd", use_dictionary=dictionary)
    assert (tmp_path / "train.parquet").stat().st_size < 50_000
    del bomb
    source = open_source(tmp_path)
    before = pa.total_allocated_bytes()
    most = pa.default_memory_pool().max_memory()
    with pytest.raises(SourceError, match=r"row 0 of train.*268435\d+"):
        next(iter(source))
    assert pa.total_allocated_bytes() - before < 1 << 20
    assert pa.default_memory_pool().max_memory() == most


@pytest.mark.slow
def test_few_bytes_of_an_arrow_file_become_no_gibibyte(tmp_path: Path) -> None:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    for name, size in (("bomb", 1 << 28), ("small", 1 << 20)):
        content = pa.table({"img": [{"bytes": bytes(size), "path": None}]})
        with pa.ipc.new_stream(tmp_path / f"{name}.arrow", content.schema, options=options) as file:
            file.write_table(content)
    del content
    most = pa.default_memory_pool().max_memory()
    with pytest.raises(SourceError, match=r"268435\d+"):
        open_source(tmp_path)
    assert pa.default_memory_pool().max_memory() == most
    (tmp_path / "bomb.arrow").unlink()
    assert len(open_source(tmp_path)) == 1
    whole = (tmp_path / "small.arrow").read_bytes()
    for place in range(0, len(whole), 7):
        broken = whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
        (tmp_path / "small.arrow").write_bytes(broken)
        with suppress(KinpackError):
            open_source(tmp_path)


def test_large_entries_of_a_dictionary_are_read_one_by_one(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 3 << 20, dtype=np.uint8).tobytes()
    kept = png(7, tmp_path)
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 40), pa.array([noise, kept]))
    write(tmp_path / "train.parquet", pa.table({"img": column}), row_group_size=80)
    file = pq.ParquetFile(tmp_path / "train.parquet")
    with (tmp_path / "train.parquet").open("rb") as raw:
        group = file.metadata.row_group(0)
        assert rows_at_once(raw, group, ["img"]) == (64 << 20) // (len(noise) + len(kept) + 8)
        assert rows_at_once(raw, group, ["other"]) == ROWS


@pytest.mark.parametrize("deep", [70, 100_000])
def test_features_nested_beyond_measure_are_left_aside(tmp_path: Path, deep: int) -> None:
    content = table([3, 4], tmp_path).select(["img"])
    nested = '{"info": {"features": {"img": ' + "[" * deep + "]" * deep + "}}}"
    write(tmp_path / "train.parquet", content.replace_schema_metadata({"huggingface": nested}))
    assert rows(open_source(tmp_path)) == [("train/00000", None, 3), ("train/00001", None, 4)]


def test_a_damaged_page_is_read_or_refused(folder: Path, rng: np.random.Generator) -> None:
    file = folder / "data" / "test-00000-of-00001.parquet"
    data = bytearray(file.read_bytes())
    for place in rng.integers(4, len(data) - 2000, 60).tolist():
        changed = bytearray(data)
        changed[place] ^= 255
        file.write_bytes(changed)
        with suppress(KinpackError):
            for item in open_source(folder, split="test"):
                item.load()


def test_columns_paths_and_labels_of_minus_one(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "in").mkdir()
    (folder / "in" / "a.png").write_bytes(png(7, tmp_path))
    (tmp_path / "private.png").write_bytes(png(9, tmp_path))
    paths = ["in/a.png", "../private.png", str(tmp_path / "private.png"), "in/none.png"]
    data = {
        "one": pa.array([png(1, tmp_path)] * 4),
        "image": pa.array([{"bytes": None, "path": path} for path in paths]),
        "label": pa.array([-1, 3, None, 5]),
    }
    write(folder / "train.parquet", pa.table(data))
    source = open_source(folder / "train.parquet")
    assert [item.label for item in source] == [None, "3", None, "5"]
    loaded: list[int | None] = []
    for item in source:
        loaded.append(None)
        with suppress(ImageError):
            loaded[-1] = int(item.load()[0, 0, 0])
    assert loaded == [7, None, None, None]  # what lies outside stays private
    chosen = open_source(folder / "train.parquet", column="one")
    assert [int(item.load()[0, 0, 0]) for item in chosen] == [1] * 4
    with pytest.raises(SourceError, match="no column 'two'"):
        open_source(folder / "train.parquet", column="two")


def test_several_columns_are_chosen_among(tmp_path: Path) -> None:
    cell = {"bytes": png(3, tmp_path), "path": None}
    write(tmp_path / "a.parquet", pa.table({"left": [cell], "right": [cell]}))
    with pytest.raises(SourceError, match=r"left, right; .*--column"):
        open_source(tmp_path / "a.parquet")
    write(tmp_path / "b.parquet", pa.table({"url": ["u"], "jpg": [png(4, tmp_path)]}))
    assert [int(item.load()[0, 0, 0]) for item in open_source(tmp_path / "b.parquet")] == [4]


def test_an_open_data_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset(table([1, 2], tmp_path))
    assert [int(item.load()[0, 0, 0]) for item in open_source(made, column="img")] == [1, 2]
