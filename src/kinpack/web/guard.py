"""What a server holds requests to: whose they are, and what browsers may do with the answers."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

Scope: TypeAlias = MutableMapping[str, Any]
App: TypeAlias = Callable[[Scope, Any, Any], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "kinpack"
"""Name of the cookie that carries the token once it was in an address."""
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Lets those requests through that name this server, and carry its token where it has one.

    A page elsewhere can have its own name lead to this machine (DNS rebinding): its requests then
    come from here, but carry that name, which is none of ours.

    Args:
        app: what answers.
        hosts: names that the server is reached by, without a port; ``None`` for any.
        token: what requests must carry, as ``Authorization: Bearer``, ``?token=``, or the cookie
            that this one sets; ``None`` for none.
    """

    def __init__(self, app: App, hosts: Collection[str] | None, token: str | None = None) -> None:
        self._app, self._token = app, token
        self._hosts = None if hosts is None else {host.lower().strip("[]") for host in hosts}

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        given = self._given(headers, scope)
        host = _host(headers.get("host", ""))
        if self._hosts is not None and host not in self._hosts:
            await _refuse(send, 403, "this server is not called by that name")
        elif "origin" in headers and _host(_after_scheme(headers["origin"])) != host:
            await _refuse(send, 403, "a page of another host may not ask this server")
        elif self._token is not None and not (
            given and secrets.compare_digest(given.encode(), self._token.encode())
        ):
            await _refuse(send, 401, "open the address that the server printed: it has the token")
        else:
            await self._app(scope, receive, self._with_headers(send, scope))

    def _given(self, headers: Mapping[str, str], scope: Scope) -> str:
        """The token of a request, wherever it is."""
        if headers.get("authorization", "").startswith("Bearer "):
            return headers["authorization"].removeprefix("Bearer ")
        in_address: str = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if in_address:
            return in_address
        cookies = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except CookieError:
            return ""
        return cookies[COOKIE].value if COOKIE in cookies else ""

    def _with_headers(self, send: Any, scope: Scope) -> Any:
        """Send an answer with what browsers are told of it."""
        named = {key.encode(): value.encode() for key, value in HEADERS.items()}
        if self._token is not None and b"token=" in scope["query_string"]:
            cookie = f"{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict"
            named[b"set-cookie"] = cookie.encode()

        async def sent(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *named.items()]}
            await send(message)

        return sent


def _host(given: str) -> str:
    """The name in a ``Host`` header, without its port."""
    try:
        return (urlsplit(f"//{given}").hostname or "").lower()
    except ValueError:
        return ""


def _after_scheme(origin: str) -> str:
    return origin.partition("://")[2]


async def _refuse(send: Any, status: int, line: str) -> None:
    body = f"{line}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    headers += [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
