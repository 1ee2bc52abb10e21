"""Loading: pictures decoded ahead by a few threads, handed on in order, within bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from kinpack.archive.segments.batches import PIXEL_BYTES
from kinpack.errors import ImageError
from kinpack.pictures.image_like import as_image
from kinpack.pictures.images import Image
from kinpack.sources.items import Item


def load_ahead(
    items: Iterable[Item], *, threads: int | None = None, ahead: int = 256
) -> Generator[tuple[Item, Image | ImageError]]:
    """Load the pictures of items on threads, and yield them in the items' order.

    Args:
        items: what to load; drawn from the calling thread only.
        threads: how many to load with, by default one a core, at most 4.
        ahead: most pictures that are loaded before their turn; fewer where they are large.

    Yields:
        Each item with its image, or with the error that its loading met.
    """
    threads = threads or min(4, os.cpu_count() or 1)
    waiting: deque[tuple[Item, Future[Image | ImageError]]] = deque()
    allowed = threads
    with ThreadPoolExecutor(threads, thread_name_prefix="kinpack-load") as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(_load, item)))
                while len(waiting) > allowed:
                    item, future = waiting.popleft()
                    loaded = future.result()
                    if not isinstance(loaded, ImageError):
                        allowed = max(threads, min(ahead, PIXEL_BYTES // max(1, loaded.nbytes)))
                    yield item, loaded
            while waiting:
                item, future = waiting.popleft()
                yield item, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _load(item: Item) -> Image | ImageError:
    try:
        return as_image(item.load(), item.id)
    except ImageError as error:
        return error
