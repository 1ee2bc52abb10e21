"""Object stores for tests: in this process's memory, or a real server on loopback."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from fakes import s3_server
from kinpack.archive.stores import buckets, objects
from kinpack.archive.stores.object_store import ObjectStore


@dataclass(frozen=True, slots=True)
class Backend:
    """A kind of object store.

    Attributes:
        name: of the backend.
        root: an address below which nothing else is.
    """

    name: str
    root: str

    def address(self, name: str = "a.kin") -> str:
        """The address of an archive."""
        return f"{self.root}/{name}"

    def objects(self, address: str) -> dict[str, bytes]:
        """All that lies below an address, locks included."""
        store = ObjectStore(address)
        return {name: store.read(name) for name in store._objects.list("")}

    def put(self, address: str, name: str, data: bytes) -> None:
        """Write an object, whether there is one or not."""
        ObjectStore(address)._objects.replace(name, data)

    def delete(self, address: str, name: str) -> None:
        """Remove an object."""
        ObjectStore(address).drop(name)


def backend(name: str, request: pytest.FixtureRequest, patch: pytest.MonkeyPatch) -> Backend:
    """A backend, with a root of its own; ``s3`` starts the server at the first need."""
    if name == "memory":
        pytest.importorskip("obstore", reason="pip install 'kinpack[object-stores]'")
        return Backend(name, f"memory://{uuid.uuid4().hex}")
    use_server(request.getfixturevalue("s3_endpoint"), patch)
    return Backend(name, f"s3://{s3_server.BUCKET}/{uuid.uuid4().hex}")


def use_server(endpoint: str, patch: pytest.MonkeyPatch) -> None:
    """Let ``s3://`` addresses lead to a server, or to a proxy before it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    for name, value in s3_server.environment(endpoint).items():
        patch.setenv(name, value)


@contextmanager
def hurried(seconds: float, *, retries: int = 3) -> Iterator[None]:
    """A block whose archives wait and repeat for less long than users need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buckets, "TIMEOUT", seconds)
        patch.setattr(buckets, "UPLOAD_TIMEOUT", seconds)
        patch.setattr(buckets, "RETRIES", retries)
        patch.setattr(buckets, "BACKOFF", 0.01)
        patch.setattr(objects, "PAUSE", 0.01)
        yield
