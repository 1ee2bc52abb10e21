"""The way that most requests go: images as they are stored, given without a framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinpack.codec.packets.packet import Packet
from kinpack.errors import KinpackError
from kinpack.web.guard import App, Scope
from kinpack.web.served import Served

LASTING, ASKED_AGAIN = "max-age=31536000, immutable", "no-cache"
"""What browsers are told of a picture: named with its checksum it never changes."""


class StoredImages:
    """Answers ``GET /NAME/images/ID``, where that is a file; all else goes on to another.

    An answer is put together of few bytes of one read of the archive's file; the framework and its
    routes would take as long again.

    Args:
        app: what answers all else, errors too.
        archives: what is served, by the names that addresses have.
    """

    def __init__(self, app: App, archives: Mapping[str, Served]) -> None:
        self._app, self._archives = app, archives

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer a request, or hand it on."""
        answer = self._answer(scope) if scope["type"] == "http" else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        status, headers, body = answer
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: Scope) -> tuple[int, list[tuple[bytes, bytes]], bytes] | None:
        if scope["method"] != "GET":
            return None
        _, name, kind, id_ = (*scope["path"].split("/", 3), "", "", "")[:4]
        one, query = self._archives.get(name), scope["query_string"]
        if kind != "images" or one is None or not one.is_near or b"=" in query.replace(b"v=", b""):
            return None
        try:
            packet = one.packet(id_)
            tag = tag_of(packet)
            lasting = LASTING if query == f"v={packet.checksum():08x}".encode() else ASKED_AGAIN
            headers = [(b"etag", tag.encode()), (b"cache-control", lasting.encode())]
            if any(
                key == b"if-none-match" and value == tag.encode() for key, value in scope["headers"]
            ):
                return 304, headers, b""
            file = one.whole(packet)
        except KinpackError:
            return None
        if file is None:
            return None
        headers.append((b"content-type", file.media_type.encode()))
        headers.append((b"content-length", str(len(file.data)).encode()))
        return 200, headers, file.data


def tag_of(packet: Packet, form: str = "", side: int = 0) -> str:
    """The ``ETag`` of a picture: it changes with the image, and with what is made of it."""
    return f'"{packet.checksum():08x}-{int(packet.kind)}-{form}-{side}"'
