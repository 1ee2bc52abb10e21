"""Sources in memory and in folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from kinpack.errors import ImageError, KinpackError, SourceError
from kinpack.pictures.picture_writing import save_image
from kinpack.sources.items import Item, Source
from kinpack.sources.opening import left_out_of, open_source, subset


def write(path: Path, level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(np.full((4, 6, 3), level, np.uint8), path)
    return path


def ids(source: Source) -> list[str]:
    return [item.id for item in source]


def labelled(source: Source) -> list[tuple[str, str | None]]:
    return [(item.id, item.label) for item in source]


def test_a_folder_is_read_in_order_with_labels(tmp_path: Path) -> None:
    for i, name in enumerate(["b/2.png", "b/10.png", "a/x/deep.webp", "top.JPG", "B/1.png"]):
        write(tmp_path / name, i)
    for ignored in (".hidden.png", ".git/1.png", "a/.thumbs/1.png"):
        write(tmp_path / ignored)
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    source = open_source(tmp_path)
    assert isinstance(source, Source)
    assert source.name == str(tmp_path)
    assert len(source) == 5
    wanted = [("B/1.png", "B"), ("a/x/deep.webp", "a"), ("b/10.png", "b"), ("b/2.png", "b")]
    assert labelled(source) == [*wanted, ("top.JPG", None)]
    assert labelled(source) == [*wanted, ("top.JPG", None)]  # again
    assert [int(item.load()[0, 0, 0]) for item in source][:4] == [4, 2, 1, 0]
    assert ids(open_source(str(tmp_path) + os.sep)) == ids(source)


def test_items_are_lazy_and_broken_files_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_text("this is no picture")
    good, bad = open_source(tmp_path)
    assert good.load().shape == (4, 6, 3)
    with pytest.raises(ImageError, match=r"b\.jpg: not a picture"):
        bad.load()


def test_size_reduces_what_is_larger(tmp_path: Path) -> None:
    write(tmp_path / "a.png", 90)
    pictures: list[Any] = [tmp_path, [tmp_path / "a.png"], np.full((1, 4, 6, 3), 90, np.uint8)]
    pictures += [[PIL.Image.new("RGB", (6, 4), (90, 90, 90))]]
    for spec in pictures:
        assert [item.load().shape for item in open_source(spec, size=3)] == [(2, 3, 3)]
        assert [item.load().shape for item in open_source(spec, size=30)] == [(4, 6, 3)]
        with pytest.raises(SourceError, match="size is 0"):
            open_source(spec, size=0)


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no images in .*no files"):
        open_source(tmp_path)
    (tmp_path / "a.psd").touch()
    (tmp_path / "README").touch()
    with pytest.raises(SourceError, match=r"\.psd 1, no suffix 1"):
        open_source(tmp_path)


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    write(tmp_path / "real" / "x" / "a.png")
    try:
        (tmp_path / "linked").symlink_to(tmp_path / "real", target_is_directory=True)
    except OSError:
        pytest.skip("no symbolic links here")
    for folder in ("real", "real/x"):
        for i in range(3):
            (tmp_path / folder / f"up{i}").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "real" / "itself").symlink_to("itself")
    (tmp_path / "real" / "here").symlink_to(".")
    assert ids(open_source(tmp_path)) == ["linked/x/a.png", "real/x/a.png"]
    (tmp_path / "real" / "broken.png").symlink_to("nowhere.png")
    with pytest.raises(ImageError, match=r"broken\.png: no such file"):
        [item.load() for item in open_source(tmp_path)]


@pytest.mark.skipif(os.name == "nt", reason="file names are text here")
def test_names_that_are_not_utf8_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    odd = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")  # noqa: PTH118
    try:
        with open(odd, "wb") as file:  # noqa: PTH123
            file.write((tmp_path / "a.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    good, bad = open_source(tmp_path)
    assert good.load().shape == (4, 6, 3)
    assert bad.id == "caf\\xe9.png"
    with pytest.raises(ImageError, match=r"caf\\xe9\.png: .*rename it"):
        bad.load()
    write(tmp_path / "caf\\xe9.png")
    with pytest.raises(SourceError, match=r"two .*caf\\xe9\.png"):
        open_source(tmp_path)


def test_one_file(tmp_path: Path) -> None:
    file = write(tmp_path / "cats" / "a.png", 7)
    assert labelled(open_source(file)) == [("a.png", None)]
    assert labelled(open_source(str(file))) == [("a.png", None)]
    (text,) = open_source(Path(__file__))
    with pytest.raises(ImageError, match=r"test_sources\.py: not"):
        text.load()


def test_a_list_of_files(tmp_path: Path) -> None:
    names = ["dogs/b.png", "cats/a.png", "cats/old/c.png"]
    files: list[Path | str] = [write(tmp_path / "in" / name, i) for i, name in enumerate(names)]
    files[1] = str(files[1])
    source = open_source(files)
    assert labelled(source) == list(zip(names, ["dogs", "cats", "cats"], strict=True))
    assert [int(item.load()[0, 0, 0]) for item in source] == [0, 1, 2]
    assert labelled(open_source(iter(files[1:2]))) == [("a.png", None)]
    with pytest.raises(SourceError, match=r"two .*dogs/b\.png"):
        open_source([*files, files[0]])
    with pytest.raises(SourceError, match=r"gone\.png: no such file"):
        open_source([*files, tmp_path / "gone.png"])
    assert labelled(open_source([tmp_path / "in"])) == labelled(open_source(tmp_path / "in"))
    with pytest.raises(SourceError, match=r"labels .*arrays only"):
        open_source(files, labels=["a"] * 3)


def test_missing_paths_are_refused_with_a_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()  # so that src/gone is a mistyped path, no name of the hub
    (tmp_path / "file").touch()
    missing: list[Path | str] = [
        tmp_path / "gone",
        "gone",
        "./a/b",
        "/a/b/c",
        "src/gone",
        "a/b.jpg",
        "a/b/c",
    ]
    for spec in [*missing, tmp_path / "file" / "below"]:
        with pytest.raises(SourceError, match="no such file or folder"):
            open_source(spec)
    with pytest.raises(SourceError, match="empty name"):
        open_source("")
    with pytest.raises(SourceError, match="cannot be read"):
        open_source("x" * 5000)
    with pytest.raises(SourceError, match="cannot be read"):
        open_source("a\0b")


def test_a_folder_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.png")
    (tmp_path / "shut").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> Any:  # as the system does, but for root as well
        if path.endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceError, match=r"shut: .*Permission denied"):
        open_source(tmp_path)


def test_arrays(rng: np.random.Generator) -> None:
    colour = rng.integers(0, 256, (11, 5, 7, 3), dtype=np.uint8)
    source = open_source(colour)
    assert ids(source) == [f"{i:06}" for i in range(11)]
    for item, image in zip(source, colour, strict=True):
        np.testing.assert_array_equal(item.load(), image)
    grey = open_source(colour[..., 0], labels=[None, *range(10)])
    assert [item.load().shape for item in grey] == [(5, 7, 1)] * 11
    assert [item.label for item in grey] == [None, *map(str, range(10))]


def test_lists_of_arrays_and_pillow_images(rng: np.random.Generator) -> None:
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in [(3, 4), (5, 2, 4)]]
    source = open_source([*images, PIL.Image.new("L", (9, 8))], labels=["a", "b", "a"])
    assert labelled(source) == [("000000", "a"), ("000001", "b"), ("000002", "a")]
    assert [item.load().shape for item in source] == [(3, 4, 1), (5, 2, 4), (8, 9, 1)]
    wrong: list[Any] = [images[0], images[1].astype(float)]
    mixed = open_source(wrong)
    with pytest.raises(ImageError, match=r"image 1 .*float64"):
        [item.load() for item in mixed]


@pytest.mark.slow
def test_ids_keep_one_width_and_their_order() -> None:
    # A view of one pixel costs nothing to repeat.
    many = open_source(np.broadcast_to(np.uint8(7), (1_000_001, 1, 1, 1)))
    last = next(iter(subset(many, start=-1)))
    assert last.id == "1000000"
    assert next(iter(many)).id == "0000000"


def test_what_is_no_source_is_refused() -> None:
    refused: list[Any] = [7, b"bytes", None, [], np.zeros((0, 4, 4), np.uint8), [1, 2], ["a", 3]]
    refused += [np.zeros((480, 640, 3), np.uint8), np.zeros((4, 4), np.uint8)]
    for spec in refused:
        with pytest.raises(SourceError, match="; "):
            open_source(spec)
    with pytest.raises(KinpackError, match="float32"):
        open_source(np.zeros((2, 8, 8, 3), np.float32))
    with pytest.raises(SourceError, match="3 labels for 2 images"):
        open_source(np.zeros((2, 8, 8), np.uint8), labels="abc")


def test_options_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.png")
    for spec in (tmp_path, file, [file], np.zeros((2, 8, 8), np.uint8)):
        with pytest.raises(SourceError, match="split"):
            open_source(spec, split="train")
    with pytest.raises(SourceError, match=r"labels .*arrays only"):
        open_source(tmp_path, labels=["a"])


def test_an_open_source_passes_through() -> None:
    class Own:
        name = "own"

        def __len__(self) -> int:
            return 0

        def __iter__(self) -> Any:
            return iter(())

    own = Own()
    assert open_source(own) is own
    with pytest.raises(SourceError, match="is open already"):
        open_source(own, size=9)


def test_subset_has_the_meaning_of_a_slice() -> None:
    source = open_source(np.zeros((10, 2, 2, 1), np.uint8))
    everything = ids(source)
    for start, stop in [(0, None), (3, 7), (-4, None), (8, 99), (7, 3), (0, 0), (2, -3)]:
        part = subset(source, start=start, stop=stop)
        assert ids(part) == everything[start:stop]
        assert len(part) == len(everything[start:stop])
    assert subset(source, start=2, stop=5).name == "arrays[2:5]"


def test_items_can_be_sent_to_another_process(tmp_path: Path) -> None:
    import pickle

    write(tmp_path / "a.png", 5)
    (item,) = open_source(tmp_path)
    copy: Item = pickle.loads(pickle.dumps(item))  # noqa: S301
    np.testing.assert_array_equal(copy.load(), item.load())


def test_a_folder_is_read_without_heavy_packages(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    code = (
        "import sys; from kinpack import open_source; next(iter(open_source(sys.argv[1]))).load();"
        "print([m for m in ('torch', 'pyarrow', 'datasets', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.shared
def test_emoji_and_photographs(shared: Path) -> None:
    emoji = open_source(shared / "emoji")
    first = next(iter(emoji))
    assert len(emoji) == 3780
    assert (first.id, first.label) == ("activities/8ball.png", "activities")
    assert first.load().shape == (64, 64, 4)
    assert len({item.label for item in emoji}) == 10
    photos = open_source(shared / "photos", size=96)
    assert len(photos) == 300
    assert sorted(next(iter(photos)).load().shape) == [3, 64, 96]


def small(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (3, 2)).save(path)
    return path


def test_what_is_added_later_gets_the_same_ids(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/b/2.png", "c/3.png"):
        small(tmp_path / "all" / name)
    whole = [(item.id, item.label) for item in open_source(tmp_path / "all")]
    parts = [
        (item.id, item.label)
        for source in (
            open_source(tmp_path / "all" / "a", root=tmp_path / "all"),
            open_source(tmp_path / "all" / "c", prefix="c/"),
        )
        for item in source
    ]
    assert parts == whole
    one = open_source(tmp_path / "all" / "a" / "b" / "2.png", root=tmp_path / "all" / "a")
    assert [(item.id, item.label) for item in one] == [("b/2.png", "b")]
    deep = open_source(tmp_path / "all" / "c", root=tmp_path / "all", prefix="x/y-")
    assert [(item.id, item.label) for item in deep] == [("x/y-c/3.png", "x")]


def test_several_folders_at_once(tmp_path: Path) -> None:
    for name in ("one/a/1.png", "two/2.png", "two/.hidden.png", "3.png"):
        small(tmp_path / name)
    (tmp_path / "one" / "notes.txt").write_text("")
    source = open_source([tmp_path / "two", tmp_path / "one", tmp_path / "3.png"])
    assert [(item.id, item.label) for item in source] == [
        ("two/2.png", "two"),
        ("one/a/1.png", "one"),
        ("3.png", None),
    ]
    assert left_out_of(source).to_dict()["kinds"] == {".txt": 1}
    assert left_out_of(source).hidden == 1
    chosen = open_source([tmp_path / "two", tmp_path / "one"], include=["1.*"])
    assert [item.id for item in chosen] == ["one/a/1.png"]
    nested = [tmp_path / "one", tmp_path / "one" / "a"]
    with pytest.raises(SourceError, match="two pictures are called"):
        open_source(nested)


def test_roots_and_prefixes_that_make_no_sense(tmp_path: Path) -> None:
    small(tmp_path / "a" / "1.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="below the root"):
        open_source(tmp_path / "a", root=tmp_path / "empty")
    with pytest.raises(SourceError, match="no pictures"):
        open_source([tmp_path / "a", tmp_path / "empty"])
    with pytest.raises(SourceError, match="root"):
        open_source(np.zeros((1, 2, 2, 3), np.uint8), root=tmp_path)
    with pytest.raises(SourceError, match="prefix"):
        open_source(tmp_path / "a", prefix=5)  # type: ignore[arg-type]
    arrays = open_source(np.zeros((1, 2, 2, 3), np.uint8), labels=["x"], prefix="more/")
    assert [(item.id, item.label) for item in arrays] == [("more/000000", "x")]
