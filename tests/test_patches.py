"""Training patches: fixed by seed and step, of both sizes, with their labels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kinpack.errors import SourceError
from kinpack.learn.training.patches import PatchSampler

Picture = NDArray[np.uint8]


def picture(height: int, width: int, value: int | None = None) -> Picture:
    if value is not None:
        return np.full((height, width, 3), value, dtype=np.uint8)
    rng = np.random.default_rng(height * 1000 + width)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def found_in(patch: Picture, image: Picture) -> bool:
    """Whether a (s, s, 3) patch, or its mirror image, is cut from the picture."""
    side = patch.shape[0]
    for wanted in (patch, patch[:, ::-1]):
        corners = image[: image.shape[0] - side + 1, : image.shape[1] - side + 1]
        for top, left in np.argwhere((corners == wanted[0, 0]).all(2)):
            if (image[top : top + side, left : left + side] == wanted).all():
                return True
    return False


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    images = [picture(40, 50), picture(32, 32), picture(90, 70)]
    first = PatchSampler(images, seed=3)
    for step in (5, 0, 3, 7):  # in any order, from any sampler
        first.batch(step, size=8)
    again = PatchSampler(images, seed=3)
    for step in (7, 3, 0):
        (a, found), (b, same) = first.batch(step, size=8), again.batch(step, size=8)
        assert np.array_equal(a, b)
        assert np.array_equal(found, same)
    assert not np.array_equal(first.batch(0, size=8)[0], first.batch(1, size=8)[0])
    other = PatchSampler(images, seed=4)
    assert not np.array_equal(first.batch(0, size=8)[0], other.batch(0, size=8)[0])


def test_patches_are_cut_from_the_pictures() -> None:
    images = [picture(40, 33), picture(32, 32)]
    patches, labels = PatchSampler(images, seed=1).batch(0, size=12)
    assert patches.shape == (12, 3, 32, 32)
    assert patches.dtype == np.uint8
    assert patches.flags.c_contiguous
    assert labels.tolist() == [-1] * 12
    for patch in patches.transpose(0, 2, 3, 1):
        assert any(found_in(patch, image) for image in images)


def test_labels_follow_their_pictures() -> None:
    images = [picture(32 + i, 40, 10 * i) for i in range(6)]
    images += [picture(70, 64 + i, 100 + 10 * i) for i in range(6)]
    labels = [i % 4 for i in range(12)]
    sampler = PatchSampler(images, labels=labels, seed=0)
    for step in range(8):
        patches, found = sampler.batch(step, size=16)
        assert found.dtype == np.int64
        for patch, label in zip(patches, found, strict=True):
            value = int(patch[0, 0, 0])
            assert (patch == value).all()
            assert label == labels[value // 10 if value < 100 else 6 + (value - 100) // 10]


def test_patches_are_of_the_largest_side_that_a_picture_holds() -> None:
    small, large, largest = (32, 3, 32, 32), (8, 3, 64, 64), (2, 3, 128, 128)
    for sides, wanted in (
        ((63, 200), {small}),
        ((64, 200), {large}),
        ((127, 200), {large}),
        ((128, 200), {large, largest}),  # reduced by 2, it is of 64 px
    ):
        sampler = PatchSampler([picture(*sides)])
        assert {sampler.batch(step, size=32)[0].shape for step in range(24)} == wanted
    assert PatchSampler([picture(400, 400)]).batch(0, size=4)[0].shape[0] == 1


def test_patches_of_all_sides_are_drawn() -> None:
    mixed = PatchSampler([picture(32, 32), picture(64, 64), picture(128, 128)], seed=0)
    sides = [mixed.batch(step, size=32)[0].shape[2] for step in range(60)]
    assert {side: sides.count(side) > 4 for side in (32, 64, 128)} == dict.fromkeys(
        (32, 64, 128), True
    )


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 40), (40, 5), (31, 31)])
def test_tiny_pictures_are_padded_by_their_edge(height: int, width: int) -> None:
    image = picture(height, width)
    patches, _ = PatchSampler([image], seed=2).batch(0, size=4)
    assert patches.shape == (4, 3, 32, 32)
    grown = np.pad(image, ((0, max(0, 32 - height)), (0, max(0, 32 - width)), (0, 0)), mode="edge")
    for patch in patches.transpose(0, 2, 3, 1):
        assert found_in(patch, grown)


def plain_reduction(image: Picture, factor: int) -> Picture:
    height, width = image.shape[0] // factor, image.shape[1] // factor
    out = np.zeros((height, width, 3), dtype=np.uint8)
    for i in range(height):
        for j in range(width):
            for c in range(3):
                cell = image[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor, c]
                out[i, j, c] = round(float(cell.astype(float).mean()))
    return out


def test_large_pictures_are_seen_reduced() -> None:
    image = picture(130, 197)  # by 2, the reduction is 65×98; by 3 it is too small
    views = [image, plain_reduction(image, 2)]
    seen = set()
    sampler = PatchSampler([image], seed=0)
    for step in range(8):
        for patch in sampler.batch(step, size=64)[0].transpose(0, 2, 3, 1):
            where = [i for i, view in enumerate(views) if found_in(patch, view)]
            assert len(where) == 1
            seen.update(where)
    assert seen == {0, 1}


def test_no_picture_and_missing_labels_are_refused() -> None:
    with pytest.raises(SourceError, match="no image"):
        PatchSampler([])
    with pytest.raises(SourceError, match=r"1 labels .* 2 images"):
        PatchSampler([picture(8, 8), picture(9, 9)], labels=[0])
