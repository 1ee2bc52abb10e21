"""Serving: archives are opened, and a server answers until it is stopped."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from kinpack.archive.archive import Archive
from kinpack.errors import ArchiveError, MissingExtraError
from kinpack.web.guard import LOOPBACK
from kinpack.web.served import Served
from kinpack.web.site import name_of
from kinpack.web.views import check_views

_EVERY = ("0.0.0.0", "::")  # noqa: S104 (what somebody may ask for, and then needs a token)
_RESERVED = "openapi.json"


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Where a server listens, and to whom.

    Attributes:
        host: the address of this machine at which it listens; by default nobody else reaches it.
        port: 0 for any that is free.
        names: other names that it is reached by, as that of a web server before it.
        token: what requests must carry; where others reach it and there is none, one is made.
        views: what pages show beside the grid: ``map``, ``clusters``, ``duplicates``, ``cost``.
    """

    host: str = LOOPBACK[0]
    port: int = 8765
    names: tuple[str, ...] = ()
    token: str | None = None
    views: tuple[str, ...] = ()


def serve(
    archives: Sequence[str],
    options: ServeOptions | None = None,
    *,
    ready: Callable[[list[str]], None] | None = None,
) -> None:
    """Serve archives, for reading alone, until the process is told to stop.

    Args:
        archives: their paths or addresses.
        options: where, and to whom.
        ready: called with the addresses of their pages as soon as it listens.

    Raises:
        ArchiveError: an archive cannot be opened, or the port is taken.
        MissingExtraError: the packages of the extra ``serve`` are not installed.
    """
    options = options or ServeOptions()
    try:
        import uvicorn

        from kinpack.web.server import make_app
    except ImportError as error:
        raise MissingExtraError(
            "to serve archives, install the extra: pip install 'kinpack[serve]'"
        ) from error
    is_near = options.host in LOOPBACK
    token = options.token or (None if is_near else secrets.token_urlsafe(16))
    hosts = {*LOOPBACK, options.host, *options.names}
    with ExitStack() as stack:
        served: dict[str, Served] = {}
        for place in archives:
            archive = stack.enter_context(Archive.open(place))
            name = _free_name(name_of(archive.where), served)
            served[name] = Served(archive, name)
        allowed = None if options.host in _EVERY else hosts
        app = make_app(served, hosts=allowed, token=token, views=check_views(options.views))
        listening = stack.enter_context(listening_socket(options.host, options.port))
        shown = f"[{options.host}]" if ":" in options.host else options.host
        root = f"http://{shown}:{listening.getsockname()[1]}/"
        query = f"?token={token}" if token else ""
        if ready:
            ready([f"{root}{name}/{query}" for name in served])
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_keep_alive=15,
        )
        uvicorn.Server(config).run(sockets=[listening])


def listening_socket(host: str, port: int) -> socket.socket:
    """Listen at an address of this machine.

    Args:
        host: the address.
        port: 0 for any that is free.

    Raises:
        ArchiveError: the port is taken, or the address is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ArchiveError(
            f"{host}:{port}: nothing can listen there ({error.strerror}); name another --host or "
            "--port"
        ) from error
    # Connections inherit it: an answer is two writes, of which the second would wait for a sign of
    # the first, some 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _free_name(wanted: str, taken: dict[str, Served]) -> str:
    """A name of letters, digits and the like, for an address, which no other archive has."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted).strip("-") or "archive"
    name, number = plain, 1
    while name in taken or name == _RESERVED:
        number += 1
        name = f"{plain}-{number}"
    return name
