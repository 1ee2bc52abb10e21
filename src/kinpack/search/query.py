"""Queries: all that is asked of an archive's codes, said once, for Python and for the command."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import TYPE_CHECKING, Any, Self, SupportsIndex, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from kinpack.arguments import whole_number
from kinpack.pictures.images import Image, ImageLike, as_image, load_image
from kinpack.search.distances.distance import SearchError
from kinpack.search.hit import Mode

if TYPE_CHECKING:
    import pyarrow.compute as pc

Example: TypeAlias = Image | str
"""A picture, uint8 (H, W, C), or the id of an image in the archive."""

Examples: TypeAlias = ImageLike | str | Sequence[ImageLike | str]
"""An example, or a list of several: pictures, paths of picture files, ids as strings."""

READ_SIDE = 512
"""The longest side, in pixels, to which the file of a picture that is sought is reduced as it is
read: finer than anything by which pictures are described or compared."""

SIDES = ("min_width", "max_width", "min_height", "max_height")
"""Fields that bound the size of images, in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Query:
    """What is asked: by what images are found, among which, and how many hits of which sort.

    One of ``like``, ``vector`` and ``words`` says what is sought. Filters come first: of the images
    that pass all of them, the nearest are found.

    Attributes:
        like: an example of what is sought, or several: pictures, uint8 (H, W, C) or (H, W), Pillow
            images, the ``Path`` of a picture file; or strings, ids of images in the archive, whose
            stored codes are taken. With several the distance is the mean of those from each.
        unlike: likewise examples of what is not sought, beside some that are liked.
        vector: numbers (D,) that the describer of the codes would give, or such as the vectors were
            that its codes were made of: a text's, say.
        words: a word that the describer of the codes knows, such as ``"sailing ship"``.
        labels: only images of this label, or of one of these.
        id_prefix: only images whose ids begin so.
        min_width: only images of at least so many pixels across.
        max_width: only images of at most so many pixels across.
        min_height: only images of at least so many pixels down.
        max_height: only images of at most so many pixels down.
        where: only images for which a pyarrow expression holds, such as ``pc.field("year") > 2019``
            of ``pyarrow.compute``, over the columns of ``Archive.table``; ``Archive.sql_filter``
            makes one of SQL.
        within: only hits at most so far away.
        k: how many hits, 1 or more; all images that pass if there are no more.
        offset: how many of the first hits are left out, so that a list is told page by page.
        distinct: whether of hits that show the same picture, by their codes, only the first is
            told.
        codes: which are searched: the name of a column, or ``auto`` for the first, with words for
            the first whose describer knows some. Or several with a weight each,
            ``{"look": 1, "photo": 0.5}`` or ``"look:1,photo:0.5"``: distances are then sums, each
            in units of what strangers lie apart.
        mode: whether a picture's or vector's own descriptor is compared, or its product code.
        compare: how many of the nearest are drawn and compared with the picture that is sought, 0
            for none. By default 30, or fewer large ones, where that is one picture, and else none.

    Raises:
        ImageError: an example is no image.
        SearchError: a field makes no sense, or two do not go together.
    """

    like: Examples = ()
    unlike: Examples = ()
    vector: Sequence[float] | NDArray[Any] | None = None
    words: str | None = None
    labels: str | Iterable[str] | None = None
    id_prefix: str | None = None
    min_width: SupportsIndex | None = None
    max_width: SupportsIndex | None = None
    min_height: SupportsIndex | None = None
    max_height: SupportsIndex | None = None
    where: pc.Expression | None = None
    within: float | None = None
    k: SupportsIndex = 10
    offset: SupportsIndex = 0
    distinct: bool = False
    codes: str | Mapping[str, float] = "auto"
    mode: Mode = "asymmetric"
    compare: SupportsIndex | None = None

    def __post_init__(self) -> None:
        self._set("like", _examples(self.like, "the query"))
        self._set("unlike", _examples(self.unlike, "an example of what is not sought"))
        kinds = bool(self.liked), self.vector is not None, self.words is not None
        if sum(kinds) != 1:
            raise SearchError(
                "a search is by a query (an image, the path of a picture, an id), by a vector or "
                "by words: give one of them"
            )
        if self.unliked and not self.liked:
            raise SearchError("unlike goes with examples that are liked: give some")
        if self.words is not None and not isinstance(self.words, str):
            raise SearchError(f"words to search by are a text, not {type(self.words).__name__}")
        if self.vector is not None:
            self._set("vector", _vector(self.vector))
        self._set_filters()
        self._set("k", whole_number(self.k, "k", SearchError))
        self._set("offset", whole_number(self.offset, "offset", SearchError, least=0))
        self._set("codes", _weights(self.codes))
        if not isinstance(self.distinct, bool):
            raise SearchError(f"distinct is {self.distinct!r}; it is True or False")
        if self.mode not in get_args(Mode):
            raise SearchError(f"there is no mode {self.mode!r}: use asymmetric or symmetric")
        self._set_compare()

    @classmethod
    def of(cls, query: Self | Examples | None, asked: Mapping[str, Any]) -> Self:
        """Take a query as callers give it: whole, or examples and fields.

        Args:
            query: the whole one, or what is liked.
            asked: values of fields; none beside a whole one.

        Raises:
            ImageError: an example is no image.
            SearchError: both are given, or a field is not known or makes no sense.
        """
        if isinstance(query, cls):
            if asked:
                raise SearchError(
                    f"a Query is given, and {', '.join(asked)} too; say all of it in the Query"
                )
            return query
        known = [field.name for field in fields(cls)]
        for name in asked:
            if name not in known:
                raise SearchError(f"{name} is not known; give one of {', '.join(known)}")
        if query is None:
            return cls(**asked)
        if "like" in asked:
            raise SearchError("a query is given, and like too; give one of them")
        return cls(like=query, **asked)  # type: ignore[arg-type]

    @property
    def liked(self) -> tuple[Example, ...]:
        """The examples of what is sought."""
        return self.like  # type: ignore[return-value]

    @property
    def unliked(self) -> tuple[Example, ...]:
        """The examples of what is not sought."""
        return self.unlike  # type: ignore[return-value]

    @property
    def single(self) -> Example | None:
        """The one example that is given, ``None`` where there are more, or none."""
        return self.liked[0] if len(self.liked) == 1 and not self.unliked else None

    @property
    def number_compared(self) -> int | None:
        """How many hits are drawn and compared; ``None`` where that is left open."""
        return None if self.compare is None else int(self.compare)

    @property
    def last(self) -> int:
        """How many hits there are up to the last that is asked for."""
        return int(self.offset) + int(self.k)

    @property
    def filters(self) -> dict[str, Any]:
        """The fields that images are held to, as far as they are given, by their names."""
        names = ("labels", "id_prefix", "where", *SIDES)
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _set_filters(self) -> None:
        if self.labels is not None:
            labels = (self.labels,) if isinstance(self.labels, str) else self.labels
            if not isinstance(labels, Iterable) or not all(isinstance(one, str) for one in labels):
                raise SearchError(f"labels is {self.labels!r}; it is a label, or a list of some")
            labels = tuple(dict.fromkeys(labels))
            if not labels:
                raise SearchError("labels is empty; name one, or leave it")
            self._set("labels", labels)
        if self.id_prefix is not None and not isinstance(self.id_prefix, str):
            raise SearchError(f"id_prefix is {self.id_prefix!r}; it is a text")
        for name in SIDES:
            value = getattr(self, name)
            if value is not None:
                self._set(name, whole_number(value, name, SearchError))
        for side in ("width", "height"):
            least, most = getattr(self, f"min_{side}"), getattr(self, f"max_{side}")
            if least is not None and most is not None and least > most:
                raise SearchError(f"min_{side} is {least}, above max_{side}, which is {most}")
        if self.where is not None:
            check_expression(self.where)
        if self.within is not None:
            if not isinstance(self.within, Real) or not self.within >= 0:
                raise SearchError(f"within is {self.within!r}; it is a distance, 0 or more")
            self._set("within", float(self.within))

    def _set_compare(self) -> None:
        if self.compare is None:
            if not isinstance(self.single, np.ndarray):
                self._set("compare", 0)
            return
        self._set("compare", whole_number(self.compare, "compare", SearchError, least=0))
        if not self.compare:
            return
        if not self.liked:
            raise SearchError(
                "a vector, or a word, is no picture that hits can be compared with: leave `compare`"
            )
        if self.single is None:
            raise SearchError(
                "several examples are not one picture that hits can be compared with: leave "
                "`compare`"
            )


def check_expression(given: Any) -> None:
    """See that a filter is one of pyarrow's expressions.

    Raises:
        SearchError: it is something else.
    """
    import pyarrow.compute as pc

    if not isinstance(given, pc.Expression):
        raise SearchError(
            f"a filter is a pyarrow expression, as pyarrow.compute.field('width') > 200, no "
            f"{type(given).__name__}; Archive.sql_filter makes one of SQL"
        )


def _examples(given: Examples, what: str) -> tuple[Example, ...]:
    several = given if isinstance(given, (list, tuple)) else (given,)
    return tuple(_example(one, what) for one in several)


def _example(given: ImageLike | str, what: str) -> Example:
    if isinstance(given, str):
        return given
    if isinstance(given, os.PathLike):
        return load_image(given, size=READ_SIDE)
    return as_image(given, what)


def _vector(given: Any) -> NDArray[np.float32]:
    try:
        numbers = np.array(given, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise SearchError(f"the vector of a search is no list of numbers ({error})") from error
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise SearchError(
            f"the vector of a search is of shape (D,), and finite, not {numbers.shape}"
        )
    return numbers


def _weights(given: Any) -> str | dict[str, float]:
    """The name of a column, or weights by names."""
    if isinstance(given, str):
        if ":" not in given and "," not in given:
            return given
        parts = [part.strip().partition(":") for part in given.split(",")]
        try:
            pairs = [(name, float(weight) if colon else 1.0) for name, colon, weight in parts]
        except ValueError as error:
            raise SearchError(
                f"codes are {given!r}; several are written NAME:WEIGHT,NAME:WEIGHT"
            ) from error
        if len({name for name, _ in pairs}) < len(pairs):
            raise SearchError(f"codes are {given!r}, which names some twice")
        return _weights(dict(pairs))
    if not isinstance(given, Mapping) or not given:
        raise SearchError(f"codes are {given!r}; give the name of some, or a weight to each name")
    for name, weight in given.items():
        number = isinstance(weight, Real) and not isinstance(weight, bool)
        if not isinstance(name, str) or not number or not 0 < weight < math.inf:
            raise SearchError(f"the weight of codes {name!r} is {weight!r}; it is a number above 0")
    return {name: float(weight) for name, weight in given.items()}
