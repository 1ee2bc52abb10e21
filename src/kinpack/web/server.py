"""A server of archives: pictures, searches, and the page, over HTTP, for reading alone."""

from __future__ import annotations

import asyncio
import html
import io
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, fields
from typing import Any, Literal, TypeVar, cast

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.requests import ClientDisconnect

from kinpack.archive.segments.image_entry import ImageEntry
from kinpack.column_types import json_value
from kinpack.errors import ImageError, KinpackError, NotFoundError, counted
from kinpack.pictures.picture_writing import encode_image
from kinpack.search.distances.distance import SearchError
from kinpack.search.hit import Hit
from kinpack.search.query import Query
from kinpack.web import iiif
from kinpack.web.conditions import filter_of
from kinpack.web.guard import App, Guard
from kinpack.web.images import ASKED_AGAIN, LASTING, StoredImages, tag_of
from kinpack.web.page_files import page_files
from kinpack.web.served import Made, NoSuchRangeError, Served
from kinpack.web.views import View

MOST_SENT = 20 << 20
"""Bytes of a picture, or a query, that somebody sends."""
_LONGEST_SIDE = 2048
_MOST_HITS = 1000
_MOST_PIXELS = 50_000_000
_TIME_TO_SEND = 30.0
_WORKERS = 4
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}
_MEDIA = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}

_PICTURES = ("image/png", "image/jpeg", "image/webp", "image/avif")

Result = TypeVar("Result")


def make_app(
    archives: Mapping[str, Served],
    *,
    hosts: Collection[str] | None,
    token: str | None = None,
    views: Collection[View] = (),
) -> App:
    """Make the application that answers requests.

    Args:
        archives: what is served, by the names that addresses have.
        hosts: names that the server is reached by; ``None`` for any.
        token: what requests must carry; ``None`` for none.
        views: what pages show beside the grid, computed at the first need.
    """
    app = FastAPI(title="kinpack", docs_url=None, redoc_url=None)
    working = asyncio.Semaphore(_WORKERS)

    def served(name: str) -> Served:
        if name in archives:
            return archives[name]
        raise HTTPException(404, f"there is no archive {name!r} here")

    async def away(work: Callable[..., Result], *given: Any) -> Result:
        """Do what takes long in a thread, so that nobody else waits."""
        async with working:
            return await asyncio.to_thread(work, *given)

    async def sent(request: Request) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(_TIME_TO_SEND):
                async for part in request.stream():
                    body += part
                    if len(body) > MOST_SENT:
                        raise HTTPException(413, f"send {MOST_SENT:,} bytes at most")
        except TimeoutError:
            raise HTTPException(408, "what was to be sent did not come in time") from None
        except ClientDisconnect:
            raise HTTPException(400, "what was to be sent broke off") from None
        return bytes(body)

    @app.exception_handler(KinpackError)
    async def refused(request: Request, error: KinpackError) -> JSONResponse:
        status = 404 if isinstance(error, NotFoundError) else 500
        if isinstance(error, (SearchError, ImageError)):
            status = 400
        if isinstance(error, NoSuchRangeError):
            status = 416
        one = archives.get(request.path_params.get("name", ""))
        return JSONResponse({"error": one.told(error) if one else str(error)}, status)

    @app.exception_handler(HTTPException)
    async def told(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code)

    @app.get("/", include_in_schema=False)
    async def archives_of_this_server() -> Response:
        if len(archives) == 1:
            return RedirectResponse(f"{next(iter(archives))}/")
        lines = (
            f'<li><a href="{html.escape(name)}/">{html.escape(one.title)}</a>: '
            f"{counted(len(one.archive), 'image')}</li>"
            for name, one in archives.items()
        )
        page = f'<!doctype html><html lang="en"><title>Archives</title><ul>{"".join(lines)}</ul>'
        return Response(page, media_type=_TYPES["html"])

    @app.get("/{name}/images/{id:path}")
    async def image(
        name: str,
        id: str,  # noqa: A002
        request: Request,
        format: Made | None = None,  # noqa: A002
        w: int = 0,
        v: str | None = None,
    ) -> Response:
        """An image as it is stored, or in another format, or smaller: ?format=webp&w=256."""
        one = served(name)
        if not 0 <= w <= _LONGEST_SIDE:
            raise HTTPException(400, f"w goes up to {_LONGEST_SIDE} pixels")
        packet = one.packet(id) if one.is_near else await away(one.packet, id)
        checksum = f"{packet.checksum():08x}"
        tag = tag_of(packet, format or "", w)
        headers = {"ETag": tag, "Cache-Control": LASTING if v == checksum else ASKED_AGAIN}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        if format is None and not w:
            file = await away(one.file, id, packet)
            return Response(file.data, media_type=file.media_type, headers=headers)
        form: Made = format or "webp"
        data = await away(one.made, id, packet, form, w)
        return Response(data, media_type=_MEDIA[form], headers=headers)

    @app.get("/{name}/iiif/{id:path}/info.json", tags=["IIIF"])
    async def iiif_info(name: str, id: str, request: Request) -> Response:  # noqa: A002
        """An image as the IIIF Image API 3 describes it, level 0."""
        entry = await entry_of(name, id)
        body = json.dumps(iiif.info(entry, f"{request.base_url}{name}/iiif"))
        return Response(body, media_type=iiif.MEDIA_TYPE, headers={"Cache-Control": ASKED_AGAIN})

    @app.get("/{name}/iiif/{id:path}/full/{size}/0/default.{suffix}", tags=["IIIF"])
    async def iiif_image(
        name: str,
        id: str,  # noqa: A002
        size: str,
        suffix: Literal["jpg", "png", "webp"],
    ) -> Response:
        """A whole image, of a size that its info.json lists."""
        one, entry = served(name), await entry_of(name, id)
        form: Made = "jpeg" if suffix == "jpg" else suffix
        side = iiif.side_of(entry, size)
        data = await away(lambda: one.made(id, one.packet(id), form, side))
        return Response(data, media_type=_MEDIA[form], headers={"Cache-Control": ASKED_AGAIN})

    async def entry_of(name: str, id: str) -> ImageEntry:  # noqa: A002
        one = served(name)
        one.refresh()
        return await away(one.archive.entry, id)

    @app.get("/{name}/placeholder/{id:path}")
    async def placeholder(name: str, id: str, codes: str = "auto") -> Response:  # noqa: A002
        """A blurred picture of 16 × 16 pixels, drawn of an image's code alone."""
        one = served(name)
        one.known(id)
        pixels = await away(lambda: one.archive.placeholder(id, codes=codes))
        data = encode_image(pixels, format="png", where="a placeholder")
        return Response(data, media_type="image/png", headers={"Cache-Control": "no-cache"})

    @app.get("/{name}/kin/{id:path}")
    async def kin(name: str, id: str, k: int = 10, codes: str = "auto") -> Any:  # noqa: A002
        """The images that are alike to one, itself first."""
        return await found(served(name), {"like": id, "k": k, "codes": codes, "compare": 0})

    @app.post("/{name}/search", openapi_extra=_SEARCH)
    async def search(name: str, request: Request, k: int = 10, codes: str = "auto") -> Any:
        """Search by a picture, which is the body; or by a query, as JSON of its fields.

        A query is such as `{"words": "ship", "labels": ["beach"], "k": 20}` or `{"like": "a.jpg"}`.
        Its `filters` are conditions that all must hold, each a column, one of `contains`, `=`,
        `!=`, `<`, `<=`, `>`, `>=`, and a value: `[["year", ">=", 2019]]`.
        """
        one, body = served(name), await sent(request)
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return await found(one, {"like": _small(body), "k": k, "codes": codes})
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            raise HTTPException(400, "the query is no JSON") from None
        known = {field.name for field in fields(Query)} - {"where"} | {"filters"}
        if not isinstance(asked, dict) or not set(asked) <= known:
            raise HTTPException(400, f"a query is an object of these: {', '.join(sorted(known))}")
        if (filters := asked.pop("filters", None)) is not None:
            asked["where"] = filter_of(filters, one.archive.snapshot.schema)
        return await found(one, asked)

    async def found(one: Served, asked: dict[str, Any]) -> Any:
        one.refresh()
        for key in ("like", "unlike"):
            given = asked.get(key, ())
            for example in given if isinstance(given, list) else [given]:
                one.known(example)
        hits = await away(lambda: one.archive.search(Query(**_limited(asked))))
        return JSONResponse({"hits": [_hit(hit) for hit in hits]})

    @app.get("/{name}/stats")
    async def stats(name: str) -> Any:
        """The archive in numbers."""
        one = served(name)
        one.refresh()
        facts = await away(one.archive.info)
        return JSONResponse({"images": len(one.archive), **_plain(facts)})

    @app.get("/{name}/files/", include_in_schema=False)
    async def files(name: str) -> Any:
        one = served(name)
        return JSONResponse(await away(one.files), headers={"Cache-Control": "no-cache"})

    @app.get("/{name}/files/{file:path}", include_in_schema=False)
    async def part(name: str, file: str, request: Request) -> Response:
        asked = request.headers.get("range")
        data, headers = await away(served(name).part, file, asked)
        status = 200 if asked is None else 206
        return Response(data, status, headers, "application/octet-stream")

    @app.get("/{name}", include_in_schema=False)
    async def to_page(name: str) -> Response:
        served(name)
        return RedirectResponse(f"{name}/")

    @app.get("/{name}/{file:path}", include_in_schema=False)
    async def page(name: str, file: str) -> Response:
        one, view = served(name), file.removesuffix(".json")
        if file == f"{view}.json" and view in views:
            one.refresh()
            data = await away(one.view, cast("View", view))
            return Response(data, media_type="application/json")
        found = page_files("files/", one.title, tuple(views)).get(file or "index.html")
        if found is None:
            raise HTTPException(404, "there is no such address")
        kind = _TYPES[(file or "index.html").rpartition(".")[2]]
        return Response(found, media_type=kind, headers={"Cache-Control": "no-cache"})

    return Guard(StoredImages(app, archives), hosts, token)


_EXAMPLES = {
    "words": {"words": "sailing ship", "k": 20},
    "like an image, held to columns": {
        "like": "beach/0001.jpg",
        "labels": ["beach"],
        "filters": [["year", ">=", 2019], ["note", "contains", "sun"]],
    },
    "several examples": {"like": ["a.jpg", "b.jpg"], "unlike": "c.jpg", "distinct": True},
}
_SEARCH: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "examples": {name: {"value": value} for name, value in _EXAMPLES.items()},
            },
            **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in _PICTURES},
        },
    },
    "responses": {
        "200": {
            "description": "What was found, the nearest first.",
            "content": {
                "application/json": {
                    "example": {
                        "hits": [
                            {
                                "id": "beach/0001.jpg",
                                "label": "beach",
                                "distance": 0.0,
                                "position": 17,
                                "similarity": 1.0,
                                "compared": False,
                                "columns": {"year": 2021},
                            }
                        ]
                    }
                }
            },
        }
    },
}


def _hit(hit: Hit) -> dict[str, Any]:
    """A hit as JSON values."""
    columns = {name: json_value(value) for name, value in hit.columns.items()}
    return {**asdict(hit), "columns": columns}


def _limited(asked: dict[str, Any]) -> dict[str, Any]:
    """A query of somebody elsewhere: strings are ids and never paths, and hits are not too many."""
    k = asked.get("k", 10)
    if isinstance(k, int) and k > _MOST_HITS:
        raise SearchError(f"ask for {_MOST_HITS} hits at most")
    return asked


def _small(data: bytes) -> bytes:
    """A picture that somebody sent, refused if it has too many pixels."""
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise ImageError(
                    f"the picture has more than {_MOST_PIXELS:,} pixels: make it smaller"
                )
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise ImageError(
            "what was sent is no picture; send a PNG, JPEG, WebP or AVIF file"
        ) from error
    return data


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts without the place of the archive on this machine."""
    left_out = {"path", "where", "place"}
    plain: dict[str, Any] = json.loads(json.dumps(dict(facts), default=str))
    return {key: value for key, value in plain.items() if key not in left_out}
