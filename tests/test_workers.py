"""Archives in the worker processes of a torch ``DataLoader``, however these begin."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch.utils.data import DataLoader

from kinpack import Archive

pytestmark = pytest.mark.learn

PICTURES = np.random.default_rng(20).integers(0, 256, (21, 32, 32, 3), np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["classic", "default"])
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_workers_read_right_pixels(tmp_path: Path, method: str, codec: str) -> None:
    with Archive.create(tmp_path / "a.kin", codec) as archive:
        archive.add(PICTURES, quality=60, classic="never" if codec == "default" else "auto")
    with Archive.open(tmp_path / "a.kin") as archive:
        expected = np.stack(list(archive))  # files are open and networks run before they begin
        order = torch.utils.data.SequentialSampler(archive)
        loader: DataLoader[Any] = DataLoader(
            cast(Any, archive),
            4,
            sampler=order,
            num_workers=2,
            multiprocessing_context=method,
        )
        for _ in range(2):
            batches = [batch.numpy() for batch in loader]
            assert len(batches) == 6
            assert np.array_equal(np.concatenate(batches), expected)
