"""Objects: those below a prefix of a bucket, asked again where an answer did not come."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from kinpack.archive.stores import buckets
from kinpack.archive.stores.buckets import Address
from kinpack.archive.stores.system_errors import missing
from kinpack.errors import ArchiveError, shown

ATTEMPTS = 3
"""How often a request is made whose answer is lost, beyond what obstore repeats by itself."""

PAUSE = 0.1
"""Seconds before the second of them; before each later one as many more."""

_TOKEN = "kinpackwrite"  # noqa: S105 (letters alone: Azure takes no others)
_PAGE = 1000
_SMALL = 1 << 20
_SURE = ("status code: 4", "status code: 501", "builder error")
_REPEATED = re.compile(r"after [1-9]\d* retries")
_Result = TypeVar("_Result")


class Objects:
    """The objects below an address.

    An object that is created carries a random token: so a writer whose answer was lost finds its
    own object. All failures are ``ArchiveError``, each one line with the cure.

    Args:
        address: the bucket and the prefix.

    Attributes:
        address: the bucket and the prefix.
        unclear: whether a creation ended without anybody knowing whether it was made.

    Raises:
        MissingExtraError: obstore is not installed.
        ArchiveError: the environment does not fit.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.unclear = False
        self._process = os.getpid()
        self._small = address.connect(timeout=buckets.TIMEOUT)
        self._large = address.connect(timeout=buckets.UPLOAD_TIMEOUT)

        from obstore.exceptions import AlreadyExistsError, BaseError

        self._taken = AlreadyExistsError
        self._failures = (BaseError, OSError, ValueError)

    def where(self, name: str) -> str:
        """The address of an object, or of all for an empty name."""
        return f"{self.address}/{shown(name)}" if name else str(self.address)

    def get(self, name: str, start: int = 0, stop: int | None = None) -> tuple[bytes, int]:
        """Read an object, or a part of it.

        Args:
            name: of the object.
            start: the first byte.
            stop: one past the last; ``None`` for all of the object.

        Returns:
            The bytes, fewer if it is shorter, and the size of the whole object.
        """

        def get() -> tuple[bytes, int]:
            found = self._small.get(
                self._key(name), options={} if stop is None else {"range": (start, stop)}
            )
            return bytes(found.bytes()), found.meta["size"]

        return self._asked(get, name, "read")

    def size(self, name: str) -> int:
        """Bytes of an object."""
        return self._asked(lambda: self._small.head(self._key(name))["size"], name, "read")

    def find(self, name: str) -> int | None:
        """Bytes of an object, ``None`` if there is none."""

        def find() -> int | None:
            try:
                return self._small.head(self._key(name))["size"]
            except FileNotFoundError:
                return None

        return self._asked(find, name, "read")

    def list(self, folder: str) -> dict[str, tuple[int, datetime]]:
        """Size and time of every object below a folder; one request for each thousand.

        Args:
            folder: without a slash at its end; empty for all.
        """
        skip = len(self.address.prefix)

        def listed() -> dict[str, tuple[int, datetime]]:
            pages = self._small.list(self._key(folder).rstrip("/") or None, chunk_size=_PAGE)
            return {
                meta["path"][skip:]: (meta["size"], meta["last_modified"])
                for page in pages
                for meta in page
            }

        return self._asked(listed, folder, "list the archive")

    def create(self, name: str, data: bytes | memoryview) -> bool:
        """Put an object, only if there is none of that name.

        Returns:
            True if it was put, False if the name was taken by another.
        """
        token = uuid.uuid4().hex
        return self._put(name, data, token) or self._is_own(name, data, token)

    def replace(self, name: str, data: bytes) -> None:
        """Put an object, whether there is one or not."""
        self._asked(lambda: self._small.put(self._key(name), data, mode="overwrite"), name, "write")

    def honours_conditions(self, name: str, data: bytes | memoryview) -> bool:
        """Tell whether the store refuses to put an object of a name that is taken.

        Args:
            name: of an object that is there; where the store puts another, it is removed.
            data: what it holds, so that nobody ever finds anything else there.
        """
        if self._put(name, data, uuid.uuid4().hex):
            self.delete([name])
            return False
        return True

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects, in no certain order; one that is not there is no error."""
        keys = [self._key(name) for name in names]

        def delete() -> None:
            try:
                self._small.delete(keys)
            except FileNotFoundError:
                if len(names) > 1:
                    for name in names:
                        self.delete([name])

        self._asked(delete, names[0], "delete")

    def _key(self, name: str) -> str:
        if self._process != os.getpid():  # obstore's threads are not here: it would wait for ever
            raise ArchiveError(
                f"{self.where('')}: an archive in an object store cannot be used after a fork; "
                "start processes by spawn or forkserver, or open it in each of them"
            )
        return self.address.prefix + name

    def _asked(self, ask: Callable[[], _Result], name: str, action: str) -> _Result:
        """The answer to a request that may be made twice."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return ask()
            except self._failures as error:
                if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
                    raise missing(self.where(name)) from error
                if attempt == ATTEMPTS or _is_final(error) or _REPEATED.search(str(error)):
                    raise self.address.refusal(error, self.where(name), action) from error
                time.sleep(PAUSE * attempt)

    def _put(self, name: str, data: bytes | memoryview, token: str) -> bool:
        """Put an object if there is none; again where it is not known what came of it."""
        client = self._small if len(data) <= _SMALL else self._large
        attempt = 0
        while True:
            attempt += 1
            try:
                client.put(
                    self._key(name),
                    data,
                    mode="create",
                    use_multipart=False,
                    attributes={_TOKEN: token},
                )
            except self._taken:
                return False
            except self._failures as error:
                refusal = self.address.refusal(error, self.where(name), "write")
                if _is_final(error):
                    raise refusal from error
                if attempt == ATTEMPTS:
                    self.unclear = True
                    raise ArchiveError(
                        f"{refusal}; it is not known whether this was still written: look with: "
                        "kinpack history"
                    ) from error
                time.sleep(PAUSE * attempt)
            else:
                return True

    def _is_own(self, name: str, data: bytes | memoryview, token: str) -> bool:
        """Whether the object of that name is the one that was just put, its answer lost."""

        def found() -> tuple[bytes, str | None] | None:
            try:
                there = self._small.get(self._key(name))
                return bytes(there.bytes()), there.attributes.get(_TOKEN)
            except FileNotFoundError:
                return None

        def repeat() -> None:
            self._large.put(self._key(name), data, mode="overwrite", attributes={_TOKEN: token})

        try:
            there = self._asked(found, name, "write")
            if there is None:
                return False
            if there[1] == token and there[0] != data:  # the store has kept a part of an upload
                self._asked(repeat, name, "write")
        except ArchiveError:
            self.unclear = True
            raise
        return there[1] == token or (there[1] is None and there[0] == data)


def _is_final(error: Exception) -> bool:
    """Whether the store has surely not made a change, and never will."""
    text = str(error).partition("\n\nDebug source")[0]
    return (
        isinstance(error, (FileNotFoundError, ValueError))
        or type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError")
        or any(sign in text for sign in _SURE)
    )
