"""An archive in numbers: what it holds, and what that costs on the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from kinpack.archive.revisions.manifest import DescriberEntry, Manifest
from kinpack.archive.revisions.measured_quality import REACHED, TARGETS
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.stores.store import FORMAT, Store
from kinpack.codec.packets.packet import Kind


def summary(store: Store, snapshot: Snapshot) -> dict[str, Any]:
    """Give a revision of an archive in numbers; all sizes are bytes on the disk.

    Args:
        store: where the archive lies.
        snapshot: the revision.

    Returns:
        JSON values: ``images``, ``pixels``, ``codec_id``, ``codec_bytes``, ``bytes_on_disk`` (all
        files but codecs and describers), ``payload_bytes`` (of living images),
        ``bytes_per_image`` and ``bits_per_pixel`` (of ``bytes_on_disk``; 0 for an empty archive),
        ``container_bytes_per_image`` (``bytes_on_disk`` beyond payloads and codes), by their names
        the ``describers``, each with
        ``describer_id``, ``describer_bytes``, ``code_bytes`` (of its code of an image) and
        ``images`` (that have one), the types of ``columns`` that were added, counts by
        ``kinds``, ``qualities`` and ``channels``, number of ``labels``, of ``segments`` and of
        ``deleted`` images still in them, ``format``, ``number``, ``created`` and ``kinpack`` of the
        newest commit, and ``metadata``. Where the archive was packed to a target also ``asked``
        (``min_psnr`` or ``max_bytes``) and ``reached`` by the images that were packed then:
        ``images``, ``lowest_psnr``, ``mean_psnr`` and ``bytes``.

    Raises:
        ArchiveError: a file is missing or damaged.
    """
    manifest = snapshot.manifest
    kinds: Counter[str] = Counter()
    qualities: Counter[int] = Counter()
    channels: Counter[int] = Counter()
    pixels = payload_bytes = 0
    for segment, rows in snapshot.parts():
        index = segment.index
        chosen = slice(None) if rows is None else rows
        number = {name: values[chosen] for name, values in index.numbers.items()}
        pixels += int((number["width"].astype(np.int64) * number["height"]).sum())
        payload_bytes += int(np.diff(index.starts)[chosen].sum())
        kinds.update(_kind_name(kind) for kind in number["kind"].tolist())
        qualities.update(number["quality"].tolist())
        channels.update(number["channels"].tolist())
    on_disk = sum(
        store.size(name) for name in store.list() if not name.startswith(("codecs/", "describers/"))
    )
    images = len(snapshot)
    code_bytes = sum(entry.live * sum(entry.code_bytes.values()) for entry in manifest.segments)
    container = on_disk - payload_bytes - code_bytes
    return {
        "images": images,
        "pixels": pixels,
        "codec_id": manifest.codec,
        "codec_bytes": manifest.codec_bytes,
        "bytes_on_disk": on_disk,
        "payload_bytes": payload_bytes,
        "bytes_per_image": on_disk / images if images else 0.0,
        "bits_per_pixel": 8 * on_disk / pixels if pixels else 0.0,
        "container_bytes_per_image": container / images if images else 0.0,
        "describers": {entry.name: _described(entry, manifest) for entry in manifest.describers},
        "columns": dict(manifest.columns),
        "kinds": dict(sorted(kinds.items())),
        "qualities": {str(quality): n for quality, n in sorted(qualities.items())},
        "channels": {str(count): n for count, n in sorted(channels.items())},
        "labels": len({label for label in snapshot.labels() if label is not None}),
        "segments": len(manifest.segments),
        "deleted": sum(entry.rows - entry.live for entry in manifest.segments),
        "format": FORMAT,
        "number": manifest.number,
        "created": manifest.created,
        "kinpack": manifest.writer,
        **_targets(manifest.metadata),
        "metadata": dict(manifest.metadata),
    }


def _described(describer: DescriberEntry, manifest: Manifest) -> dict[str, Any]:
    """A column of codes in numbers."""
    coded = [entry for entry in manifest.segments if entry.codes_of(describer.name)]
    return {
        "describer_id": describer.sha256,
        "describer_bytes": describer.bytes,
        "code_bytes": max((entry.code_bytes[describer.name] for entry in coded), default=0),
        "images": sum(entry.live for entry in coded),
    }


def _targets(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked of the archive when it was packed, and what was reached."""
    if REACHED not in metadata:
        return {}
    asked = {key: metadata[key] for key in TARGETS if key in metadata}
    return {"asked": asked, REACHED: metadata[REACHED]}


def _kind_name(kind: int) -> str:
    try:
        return Kind(kind).name.lower()
    except ValueError:
        return f"unknown-{kind}"
