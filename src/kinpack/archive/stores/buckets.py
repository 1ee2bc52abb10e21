"""Buckets: addresses of object stores, opened through obstore, and their refusals in one line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from kinpack.errors import ArchiveError, MissingExtraError

if TYPE_CHECKING:
    from obstore.store import (
        AzureStore,
        GCSStore,
        MemoryStore,
        RetryConfig,
        S3Store,
    )

    Objects: TypeAlias = S3Store | GCSStore | AzureStore | MemoryStore

TIMEOUT = 30.0
"""Seconds that one request may take."""

UPLOAD_TIMEOUT = 300.0
"""Seconds that an upload of more than 1 MiB may take: a segment is up to some 40 MB."""

RETRIES = 6
"""How often a request is sent again after a busy server or a broken connection, at most."""

BACKOFF = 0.1
"""Seconds before the first of them; before each later one about twice as many, at most 3."""

_SETTINGS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_SKIP_SIGNATURE=true for a public "
    "bucket), AWS_REGION, and AWS_ENDPOINT_URL where it is not Amazon's",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "memory": "nothing",
}
_ADDRESS = re.compile(rf"({'|'.join(_SETTINGS)})://(.*)", re.I | re.S)
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3} ?[A-Za-z ]*)")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "bucket does not exist")
_NO_CREDENTIALS = (
    "/latest/api/token",
    "/latest/meta-data",
    "/metadata/identity",
    "/computeMetadata",
    "redentialsError",
    "MissingAccount",
    "Account must be specified",
    "missing credentials",
)
_memory: MemoryStore | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """A place in an object store.

    Attributes:
        scheme: ``s3``, ``gs``, ``az`` or ``memory``.
        bucket: the bucket or container; empty for ``memory``.
        prefix: what all names begin with, with a slash at the end unless it is empty.
    """

    scheme: str
    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address; nothing in it is percent-encoded.

        Args:
            text: ``s3://bucket/path``, ``gs://bucket/path``, ``az://container/path`` or
                ``memory://path``.

        Raises:
            ArchiveError: it is none.
        """
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise ArchiveError(f"{text}: no address of an object store, as s3://bucket/photos.kin")
        scheme, rest = match[1].lower(), match[2]
        bucket, _, path = ("", "", rest) if scheme == "memory" else rest.partition("/")
        path = path.strip("/")
        parts = path.split("/") if path else []
        if not (bucket or scheme == "memory") or any(part in ("", ".", "..") for part in parts):
            raise ArchiveError(
                f"{text}: no address of an archive; it is like "
                f"{scheme}://{'' if scheme == 'memory' else 'bucket/'}photos.kin, without empty "
                "parts, . and .."
            )
        return cls(scheme, bucket, f"{path}/" if path else "")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}".removesuffix("/").replace(
            "memory:///", "memory://"
        )

    def connect(self, *, timeout: float) -> Objects:
        """Open the bucket; nothing is asked of it yet.

        Credentials, region and endpoint are those of the environment, as obstore reads it. All of
        a process's ``memory://`` addresses are one bucket.

        Args:
            timeout: seconds that one request may take.

        Raises:
            MissingExtraError: obstore is not installed.
            ArchiveError: the environment does not fit.
        """
        global _memory
        try:
            from obstore.exceptions import BaseError
            from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store
        except ImportError as error:
            raise MissingExtraError(
                f"{self}: archives in object stores need the extra: "
                "pip install 'kinpack[object-stores]'"
            ) from error
        if self.scheme == "memory":
            _memory = _memory or MemoryStore()
            return _memory
        retry: RetryConfig = {
            "max_retries": RETRIES,
            "retry_timeout": timedelta(seconds=3 * timeout),
            "backoff": {
                "init_backoff": timedelta(seconds=BACKOFF),
                "max_backoff": timedelta(seconds=3),
                "base": 2,
            },
        }
        # As a setting like those of the environment; options of the client would replace them all.
        config: Any = {"timeout": f"{round(1000 * timeout)}ms"}
        try:
            if self.scheme == "gs":
                return GCSStore(self.bucket, config=config, retry_config=retry)
            if self.scheme == "az":
                return AzureStore(self.bucket, config=config, retry_config=retry)
            # Else SeaweedFS takes an upload that broke off before its first byte for an empty file.
            config["checksum_algorithm"] = "SHA256"
            return S3Store(self.bucket, config=config, retry_config=retry)
        except (BaseError, OSError, ValueError) as error:
            raise self.refusal(error, str(self), "open") from error

    def refusal(self, error: Exception, where: str, action: str) -> ArchiveError:
        """The one-line error for what obstore raised.

        Args:
            error: what it raised.
            where: what messages call the object, or the address itself.
            action: what was tried, as in "read".

        Returns:
            The error to raise, naming place and cure.
        """
        text = str(error).partition("\n\nDebug source")[0]
        code, status = _CODE.search(text), _STATUS.search(text)
        said = ", ".join(found[1].strip() for found in (status, code) if found)
        name = type(error).__name__
        settings = _SETTINGS[self.scheme]
        if any(sign in text for sign in _NO_BUCKET):
            cure = f"there is no bucket {self.bucket!r}; check the address, or make the bucket"
        elif any(sign in str(error) for sign in _NO_CREDENTIALS):
            cure = f"no credentials were found; set {settings}"
        elif name in ("PermissionDeniedError", "UnauthenticatedError") or said[:3] in (
            "401",
            "403",
        ):
            cure = f"the store refuses the credentials ({said or name}); check {settings}"
        elif "builder error" in text and "http://" in text:
            cure = "the endpoint is not encrypted (http); allow that with AWS_ALLOW_HTTP=true"
        elif "redirect" in text.lower() or said[:3] in ("301", "307"):
            cure = "the bucket is in another region; set AWS_REGION to its own"
        elif said[:3] in ("429", "503", "500", "502", "504"):
            cure = f"the store is too busy or fails ({said}), {RETRIES} retries long; try again"
        elif said[:3] == "501":
            cure = f"the store does not offer this ({said}); use another one"
        elif "kind: Timeout" in str(error) or "timed out" in text:
            cure = "the store did not answer in time; check the network, and try again"
        elif "error sending request" in text or "HTTP error" in text:
            cure = f"the store cannot be reached; check the network, and {settings}"
        else:
            reason = " ".join(text.split())[:300] or name
            cure = f"{reason}; check the address, and {settings}"
        return ArchiveError(f"{where}: cannot {action}: {cure}")
