"""A bucket in this process, asked as obstore asks one, whose clock goes only when it is told to."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Gate = Callable[[str, str], None]


@dataclass(frozen=True)
class FakeObject:
    """What a bucket holds under a key, or a part of it."""

    data: bytes
    meta: dict[str, Any]
    attributes: Mapping[str, str]

    def bytes(self) -> bytes:
        return self.data


@dataclass
class FakeBucket:
    """A bucket of which every request can be stopped, and every time be chosen.

    Attributes:
        now: seconds of its clock.
        gates: by the name of a thread what is called before each of its requests, with method and
            key; whoever is to stand still waits there.
        careless: a pattern of the keys that are written though there is an object.
    """

    now: float = 0.0
    gates: dict[str, Gate] = field(default_factory=dict)
    careless: str = "(?!)"
    _held: dict[str, FakeObject] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.RLock)

    def put(
        self,
        key: str,
        data: bytes | memoryview,
        *,
        mode: str,
        use_multipart: bool = False,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        from obstore.exceptions import AlreadyExistsError

        del use_multipart
        self._pass("PUT", key)
        with self._lock:
            if mode == "create" and key in self._held and not re.search(self.careless, key):
                raise AlreadyExistsError(key)
            time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=int(self.now))
            meta = {"path": key, "size": len(data), "last_modified": time}
            self._held[key] = FakeObject(bytes(data), meta, attributes or {})

    def get(self, key: str, *, options: Mapping[str, Any] | None = None) -> FakeObject:
        self._pass("GET", key)
        found = self._found(key)
        start, stop = (options or {}).get("range", (0, None))
        return FakeObject(found.data[start:stop], found.meta, found.attributes)

    def head(self, key: str) -> dict[str, Any]:
        self._pass("HEAD", key)
        return self._found(key).meta

    def list(self, prefix: str | None, *, chunk_size: int) -> Iterator[Sequence[dict[str, Any]]]:
        del chunk_size
        self._pass("LIST", prefix or "")
        with self._lock:
            within = f"{prefix}/" if prefix else ""
            yield [held.meta for key, held in self._held.items() if key.startswith(within)]

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._pass("DELETE", key)
            with self._lock:
                self._held.pop(key, None)

    def _found(self, key: str) -> FakeObject:
        with self._lock:
            if key not in self._held:
                raise FileNotFoundError(key)
            return self._held[key]

    def _pass(self, method: str, key: str) -> None:
        gate = self.gates.get(threading.current_thread().name)
        if gate:
            gate(method, key)
