"""Archives in other programs: torch's data loader, DuckDB."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fakes.fake_codec import FakeSource
from kinpack.archive.archive import Archive
from kinpack.errors import ArchiveError, KinpackError
from kinpack.integrations.duckdb import register
from kinpack.integrations.torch import ArchiveDataset
from tests.cli_runs import texture


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    images = [(f"{n:02}", ("b", "a", None)[n % 3], texture(n, 6 + n, 9)) for n in range(12)]
    path = tmp_path_factory.mktemp("integrations") / "a.kin"
    with Archive.create(path, "classic", describer=None) as made:
        made.add(FakeSource(images), quality=100)
        made.remove(["04", "05"])
        made.rename({"07": "seven"})
        yield made


def test_a_data_set_is_as_an_image_folder(archive: Archive) -> None:
    data = ArchiveDataset(archive.path, output="array")
    assert data.classes == ["a", "b"]
    assert data.class_to_idx == {"a": 0, "b": 1}
    wanted = {"a": 0, "b": 1, None: -1}
    assert data.targets == [wanted[label] for label in archive.labels]
    assert data.samples == list(zip(archive.ids, data.targets, strict=True))
    assert len(data) == 10
    for position, name in enumerate(archive.ids):
        image, target = data[position]
        assert target == data.targets[position]
        assert np.array_equal(image, archive.read(name))
    batch = data.__getitems__([3, 0, 3])
    assert [target for _, target in batch] == [data.targets[at] for at in (3, 0, 3)]
    again: ArchiveDataset = pickle.loads(pickle.dumps(data))  # noqa: S301
    assert np.array_equal(again[2][0], data[2][0])
    shown = ArchiveDataset(archive, lambda image: image.size, lambda target: target + 1)
    assert shown[0] == ((9, 6), data.targets[0] + 1)
    assert isinstance(ArchiveDataset(archive)[0][0], Image.Image)
    word: Any = "tensor"
    with pytest.raises(ArchiveError, match="pil or array"):
        ArchiveDataset(archive, output=word)


def whole(batch: list[Any]) -> list[Any]:
    return batch


@pytest.mark.learn
@pytest.mark.slow
@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_a_loader_of_several_processes_gives_every_image(archive: Archive, context: str) -> None:
    from torch.utils.data import DataLoader

    data: Any = ArchiveDataset(archive, output="array")
    assert data[0][0].shape == (6, 9, 3)  # used before the fork, too
    loader: Any = DataLoader(
        data, batch_size=3, num_workers=1, multiprocessing_context=context, collate_fn=whole
    )
    found = [pair for batch in loader for pair in batch]
    assert [target for _, target in found] == data.targets
    for (image, _), name in zip(found, archive.ids, strict=True):
        assert np.array_equal(image, archive.read(name))


def test_duckdb_sees_what_the_archive_shows(archive: Archive) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        register(connection, archive, "photos")
        rows = connection.execute("SELECT id, label, width FROM photos").fetchall()
        assert rows == [(one.id, one.label, one.width) for one in archive.entries()]
        found = connection.execute(
            "SELECT id, photos_file(id), photos_pixels(id) FROM photos WHERE height > 9"
        ).fetchall()
        assert [name for name, _, _ in found] == [
            one.id for one in archive.entries() if one.height > 9
        ]
        for name, file, pixels in found:
            assert file == archive.file(name).data
            assert pixels == archive.read(name).tobytes()
        with pytest.raises(KinpackError, match="no name of a table"):
            register(connection, archive, "a; DROP")
        path: Any = Path("x")
        with pytest.raises(ArchiveError, match="open archive"):
            register(connection, path)
