"""One role, whoever plays it: a codec, a describer, or what a test makes up describes pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes.tiny_describer import tiny_describer
from kinpack.describers.describer import Describer
from kinpack.describers.describing import Describes, packed_codes, product_codes
from kinpack.describers.product_code import ProductQuantiser
from kinpack.pictures.images import Image
from tests.pictures import waves


class Corners:
    """Describes a picture by the first and the last of its pixels."""

    def __init__(self) -> None:
        books = np.arange(0, 256, 16).astype(np.float32)[None, :, None]
        self.quantiser = ProductQuantiser(np.repeat(books, 3, axis=0))

    def describe(
        self, images: Sequence[Image], *, threads: int | None = None
    ) -> NDArray[np.float32]:
        corners = [(image[0, 0, 0], image[-1, -1, 0], len(image)) for image in images]
        return np.array(corners, np.float32).reshape(-1, 3)


PICTURES = [waves(20, 31, 3), waves(9, 9, 1), waves(40, 17, 4)]

EACH = pytest.mark.parametrize(
    "describer",
    [Describer.load("classic"), tiny_describer(), Corners()],
    ids=["classic", "describer", "a class of one's own"],
)


@EACH
def test_codes_are_what_the_quantiser_makes_of_the_vectors(describer: Describes) -> None:
    vectors = describer.describe(PICTURES)
    quantiser = describer.quantiser
    assert vectors.shape == (3, quantiser.D)
    assert vectors.dtype == np.float32
    codes = product_codes(describer, PICTURES)
    assert np.array_equal(codes, quantiser.encode(vectors))
    packed = packed_codes(describer, PICTURES)
    assert {len(code) for code in packed} == {quantiser.code_bytes}
    flat = np.frombuffer(b"".join(packed), np.uint8).reshape(3, -1)
    assert np.array_equal(quantiser.unpack(flat), codes)


@EACH
def test_threads_and_company_change_nothing(describer: Describes) -> None:
    alone = [describer.describe([picture], threads=1)[0] for picture in PICTURES]
    together = describer.describe(PICTURES, threads=3)
    assert np.allclose(together, alone, atol=1e-5)
    assert describer.describe([]).shape == (0, describer.quantiser.D)
    assert packed_codes(describer, []) == []
