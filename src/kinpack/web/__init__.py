"""An archive in a browser: a page for any static host, and a server; may import the archive."""

from kinpack.web.serving import ServeOptions as ServeOptions
from kinpack.web.serving import serve as serve
from kinpack.web.site import view as view

__all__ = ["ServeOptions", "serve", "view"]
