"""Configurations as plain values, for headers, checkpoints and result files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, asdict, fields
from typing import Any, ClassVar, Self

from kinpack.errors import CodecError


class Plain:
    """A frozen dataclass that becomes a dictionary, and comes back from one."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a configuration from ``to_dict``'s values.

        Raises:
            CodecError: a key is unknown, or a value out of range.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise CodecError(f"{cls.__name__} has no field {', '.join(unknown)}; remove it")
        return cls(**values)
