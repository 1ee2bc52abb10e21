"""Stored AVIF and WebP payloads, drawn once where such are used: are pixels those of elsewhere?

What AV1 and VP8 fix are planes of brightness and colour; red, green and blue are made of them by
libavif and libwebp, which come with Pillow. Every build that was tried makes the same.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

from kinpack.codec.classic.avif import decode_avif
from kinpack.codec.classic.webp import decode_webp, decode_webp_lossless
from kinpack.codec.packets.packet import Kind
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image

_log = logging.getLogger(__name__)


class _Stored(NamedTuple):
    """A payload, and the beginning of the SHA-256 of the pixels that it gave."""

    side: int
    channels: int
    pixels: str
    payload: str


DRAW: Mapping[Kind, Callable[..., Image]] = {
    Kind.AVIF: decode_avif,
    Kind.WEBP: decode_webp,
    Kind.WEBP_LOSSLESS: decode_webp_lossless,
}
"""What draws a payload of each kind."""

_STORED: Mapping[Kind, tuple[_Stored, ...]] = {
    Kind.AVIF: (
        _Stored(
            40,
            3,
            "44a9e6f8dc2fab6447a5df8ed5f66f95",
            "rWC*kAp?Yv08{|{0Ps;N!Y9IwAa6T>m?NgZ?dC3=JsP5jc_S+QAgzgieEWmF5RNujhp=!FcC!EdEl(r4"
            "^^LB{w<uKy69tX<;ci7aUMxfH^ew5Jq~&GwVkxGDp9uLl&(dM1e8AC?`ngLU%&P4F_l?9cQc`QdRm<h|"
            "SGszAgiRi~aRyGsLSmh_iW-1HJ)UhFAhDQk0(pDIKY()_l5Qu?MLx#PpiHq_y_{TLX2l!XI%K$|Z`J-;"
            "?52-4t2gi",
        ),
        _Stored(
            40,
            1,
            "c5039b69b443b382efe213d5c5f14f9e",
            "Oq52z-|Fk>;MwQZkRei#5yHsSg7~)Nzz-ab94+WCmXgr*4UrNgPQ5K!1utw(%b}*lf{HePp5>e4`dL5",
        ),
    ),
    Kind.WEBP: (
        _Stored(
            40,
            3,
            "dc35c1d2693a2558f71387dbfcd5a538",
            "@CX1tfi#jxB_koBILrW`5D9Dmoic=Tf3SWT{y=<@Q`k~~oBpMk!8_Zc+ujfut-{4?6uFGIqvm^Uz!mi4"
            "(G#4J>VXQUfB^o{l*3`?eajE-Q@cqB&;Da7^DyvpH_c#Fs^0V+0cwLSs_;u-huJg;;57ThUWrS^e)(L="
            "Ew5h{a7b|vzS2J13_rod_34-N0lXE_B`e`AyM6Gm(qJ*QSz?@$D1t8Mk9+m|zEOdWI8gM-gGVkFI#~{u"
            "-N881v#5198*vOa9B8r{#Y?W_EX%;I;~Lt_WVpZ|23jUVNX!KGP4HKjROJ~T49+;Uyubhe00",
        ),
    ),
    Kind.WEBP_LOSSLESS: (
        _Stored(
            6,
            4,
            "884d8463dbb9c580f2b65c9e1531d94f",
            "0l6|n^gnhH(f<IWNVeiMg&ACM-IZf#Npg$_HI1Y|YXi(;`K>q#HEknFhO;cT{qB$-p(_OfDQt@gCTXhe"
            "m>k*UUHB*BO})5t2!q7nVGtIH#qm3jL1G}H^B&*uHDQPX",
        ),
    ),
}


WARNED: dict[Kind, object] = {}
"""Kinds that were warned of in this process."""


@cache
def check_library(kind: Kind) -> None:
    """Draw the stored payloads of a kind, once in a process, and warn if they look otherwise."""
    for stored in _STORED.get(kind, ()):
        size = {"width": stored.side, "height": stored.side, "channels": stored.channels}
        try:
            image = DRAW[kind](base64.b85decode(stored.payload), **size)
            found = hashlib.sha256(image.tobytes()).hexdigest()
        except KinpackError as error:
            found = str(error)
        if not found.startswith(stored.pixels):
            mine = object()
            # Threads that come first at the same time all draw; one of them warns.
            if WARNED.setdefault(kind, mine) is not mine:
                return
            _log.warning(
                "kinpack: Pillow's library draws a stored %s payload otherwise than it was drawn "
                "elsewhere; pictures of that kind may look otherwise here too: install a wheel of "
                "Pillow 12 or newer",
                kind.name,
            )
            return
