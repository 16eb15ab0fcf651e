"""Embedding of a whole catalog: bounded memory, and a killed run goes on where it was."""

import hashlib
import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from perisphere.catalog import Catalog
from perisphere.encoder.embeddings import Embeddings
from perisphere.encoder.encoder import NO_DIRECTION, Encoder, software
from perisphere.encoder.inference import Inference, Precision
from perisphere.encoder.journal import Journal
from perisphere.encoder.loading import Batch, batches, check_batches
from perisphere.errors import PerisphereError
from perisphere.progress import bar
from perisphere.storage import check_replaceable, whole_folder

SYNC_SECONDS = 2.0  # what a kill can cost
log = logging.getLogger(__name__)


def embed(
    catalog: Catalog,
    encoder: Encoder,
    out: Path | str,
    *,
    batch_size: int = 32,
    device: str | torch.device | None = None,
    workers: int = 0,
    precision: Precision = "auto",
    half: bool = False,
    whole: bool = False,
    overwrite: bool = False,
) -> Embeddings:
    """Embed every image of a catalog, or the part of it in the catalog's box, into the folder ``out``.

    The work grows in ``.NAME.partial`` beside ``out`` and is renamed when it is whole. Called again after a
    kill, with the same images, encoder and precision, it goes on at the last block on the disk, and the
    result is the same as that of a run without a kill. Images that cannot be read, and those whose embedding
    is zero and so has no direction, are skipped and listed with the reason.

    Args:
        catalog: the images.
        encoder: what embeds them.
        out: a new folder: ``vectors.npy``, ``rows.parquet``, ``embeddings.json``.
        batch_size: images that pass through the network at once.
        device: a torch device; ``None`` takes the fastest kind that is there.
        workers: decoding threads; 0 means one a core.
        precision: ``auto`` takes bfloat16 where the device has it in hardware.
        half: keep the vectors as float16, in half the space: each number is off by up to 0.05 %.
        whole: embed images whole although the catalog has boxes.
        overwrite: replace an earlier ``out``.

    Raises:
        PerisphereError: ``out`` exists, no image can be embedded, the network gives NaN, or the disk refuses.
        UsageError: ``batch_size`` is below 1, ``workers`` is negative, or the device is not there.
    """
    out = Path(out).absolute()
    check_batches(batch_size, workers)
    check_replaceable(out, overwrite)
    if not len(catalog):
        raise PerisphereError(f"the catalog of {catalog.root} has no images; read a folder that has some.")
    inference = encoder.inference(device=device, precision=precision)
    photos = _Photos(catalog.paths(), [None] * len(catalog) if whole else catalog.table["box"].to_list())
    identity = encoder.identity
    state = {"encoder": identity, "images": photos.fingerprint(), "precision": str(inference.dtype)}
    if half:
        state["vectors"] = "float16"
    with Journal(out, encoder.dim, state, half=half) as journal:
        if journal.discarded:
            log.warning("%s: other images, encoder or precision; starting again", journal.folder)
        meter = _Meter(resumed_at=journal.done)
        _embed_rest(photos, inference, journal, meter, batch_size=batch_size, workers=workers)
        if not journal.kept:
            row, reason = journal.skipped[0]
            raise PerisphereError(
                f"none of the {len(catalog)} images can be embedded; {photos.paths[row]}: {reason}."
            )
        with whole_folder(out, overwrite=overwrite) as part:
            vectors = journal.finish(part)
            boxes = sum(box is not None for box in photos.boxes)
            run = {**_run(inference, meter, batch_size), "boxes": boxes, "seeds": _seeds(catalog, encoder)}
            _described(catalog, encoder, identity, vectors, journal.skipped, run).write_description(part)
        journal.remove()
    return Embeddings.load(out)


@dataclass(frozen=True)
class _Photos:
    """The files, and the part of each to embed; ``None`` is the whole."""

    paths: list[Path]
    boxes: list[list[int] | None]

    def fingerprint(self) -> str:
        """Digest of names, sizes, times of change and boxes: another number where any became another."""
        digest = hashlib.sha256()
        for path, box in zip(self.paths, self.boxes, strict=True):
            try:
                status = path.stat()
                facts = f"{status.st_size} {status.st_mtime_ns}"
            except OSError:  # it will be skipped, with the reason
                facts = "unreadable"
            part = "" if box is None else f" {box}"
            digest.update(os.fsencode(path) + b"\0" + facts.encode() + part.encode() + b"\0")
        return digest.hexdigest()


@dataclass
class _Meter:
    """Where the time of this run went, in seconds, and the block that waits for the disk."""

    resumed_at: int
    images: int = 0
    network: float = 0.0
    total: float = 0.0
    waiting: list[np.ndarray] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)


def _embed_rest(
    photos: _Photos,
    inference: Inference,
    journal: Journal,
    meter: _Meter,
    *,
    batch_size: int,
    workers: int,
) -> None:
    """Embed what the journal has not yet, a block every few seconds."""
    begun = synced = time.perf_counter()
    read = batches(
        photos.paths,
        inference.preprocessing,
        batch_size=batch_size,
        workers=workers,
        start=journal.done,
        boxes=photos.boxes,
    )
    with bar("embedding", len(photos.paths)) as advance:
        advance(journal.done)
        for batch in read:
            _embed_batch(batch, inference, meter)
            advance(batch.stop - batch.start)
            now = time.perf_counter()
            if now - synced > SYNC_SECONDS or batch.stop == len(photos.paths):
                journal.append(np.concatenate(meter.waiting), done=batch.stop, skipped=meter.skipped)
                meter.waiting, meter.skipped, synced = [], [], now
    meter.total = time.perf_counter() - begun


def _embed_batch(batch: Batch, inference: Inference, meter: _Meter) -> None:
    begun = time.perf_counter()
    vectors = inference(batch.pictures)
    meter.network += time.perf_counter() - begun
    meter.images += batch.stop - batch.start
    directed = vectors.any(axis=1)
    failures = [(row, getattr(error, "reason", str(error))) for row, error in batch.failures]
    failures += [(int(row), NO_DIRECTION) for row in batch.rows[~directed]]
    meter.skipped += sorted(failures)
    meter.waiting.append(vectors[directed])


def _described(
    catalog: Catalog,
    encoder: Encoder,
    identity: str,
    vectors: np.ndarray,
    skipped: list[tuple[int, str]],
    run: dict[str, Any],
) -> Embeddings:
    kept = np.ones(len(catalog), bool)
    kept[[row for row, _ in skipped]] = False
    names = catalog.table["path"]
    return Embeddings(
        vectors,
        catalog.table.filter(pl.Series(kept)),
        root=catalog.root,
        encoder={
            "name": encoder.name,
            "identity": identity,
            "dim": encoder.dim,
            "path": str(encoder.path) if encoder.path else None,
        },
        skipped=[{"path": names[row], "reason": reason} for row, reason in skipped],
        run=run,
    )


def _seeds(catalog: Catalog, encoder: Encoder) -> dict[str, int]:
    """Return the seeds behind the encoder's weights and the catalog's splits, where they are known."""
    divided = catalog.source.get("divided") or {}
    seeds = {"encoder": encoder.provenance.get("seed"), "split": divided.get("seed")}
    return {name: seed for name, seed in seeds.items() if isinstance(seed, int)}


def _run(inference: Inference, meter: _Meter, batch_size: int) -> dict[str, Any]:
    return {
        "device": str(inference.device),
        "precision": str(inference.dtype).removeprefix("torch."),
        "batch_size": batch_size,
        "resumed_at": meter.resumed_at,
        "images": meter.images,
        "seconds": round(meter.total, 3),
        "images_per_second": round(meter.images / meter.total, 2) if meter.total else None,
        "network_share": round(meter.network / meter.total, 4) if meter.total else None,
        "software": software(),
    }
