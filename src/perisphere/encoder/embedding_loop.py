"""The loop behind batch embedding: photos to rows, into a journal that survives a kill."""

import hashlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from perisphere.encoder.encoder import NO_DIRECTION, software
from perisphere.encoder.inference import Inference
from perisphere.encoder.journal import Journal
from perisphere.encoder.loading import Batch, batches
from perisphere.progress import bar

SYNC_SECONDS = 2.0  # what a kill can cost


@dataclass(frozen=True)
class Photos:
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
class Meter:
    """Where the time of this run went, in seconds, and the block that waits for the disk."""

    resumed_at: int
    images: int = 0
    network: float = 0.0
    total: float = 0.0
    waiting: list[np.ndarray] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)


def embed_rest(
    photos: Photos,
    inference: Inference,
    journal: Journal,
    meter: Meter,
    *,
    batch_size: int,
    workers: int,
    lengths: bool = False,
) -> None:
    """Embed what the journal has not yet, a block every few seconds.

    With ``lengths`` the features are brought to length 1, and their own lengths are kept beside them.
    """
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
            embed_batch(batch, inference, meter)
            advance(batch.stop - batch.start)
            now = time.perf_counter()
            if now - synced > SYNC_SECONDS or batch.stop == len(photos.paths):
                rows = np.concatenate(meter.waiting)
                rows, own = unit_rows(rows) if lengths else (rows, None)
                journal.append(rows, done=batch.stop, skipped=meter.skipped, lengths=own)
                meter.waiting, meter.skipped, synced = [], [], now
    meter.total = time.perf_counter() - begun


def embed_batch(batch: Batch, inference: Inference, meter: Meter) -> None:
    """Embed a batch; its features, and what has none, wait in ``meter``."""
    begun = time.perf_counter()
    vectors = inference(batch.pictures)
    meter.network += time.perf_counter() - begun
    meter.images += batch.stop - batch.start
    directed = vectors.any(axis=1)
    failures = [(row, getattr(error, "reason", str(error))) for row, error in batch.failures]
    failures += [(int(row), NO_DIRECTION) for row in batch.rows[~directed]]
    meter.skipped += sorted(failures)
    meter.waiting.append(vectors[directed])


def unit_rows(features: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Return features of length 1, and the lengths that they had."""
    own = np.linalg.norm(features, axis=1)
    return features / np.where(own > 0, own, 1)[:, None], own.tolist()


def run_facts(inference: Inference, meter: Meter, batch_size: int) -> dict[str, Any]:
    """Return how the vectors were computed: device, precision, images per second and so on."""
    found = facts(str(inference.device), str(inference.dtype), meter, batch_size)
    return {"runtime": inference.runtime, **found}


def facts(device: str, precision: str, meter: Meter, batch_size: int) -> dict[str, Any]:
    """Return the same, of a run on ``device`` with products of ``precision`` (torch's name)."""
    return {
        "device": device,
        "precision": precision.removeprefix("torch."),
        "batch_size": batch_size,
        "resumed_at": meter.resumed_at,
        "images": meter.images,
        "seconds": round(meter.total, 3),
        "images_per_second": round(meter.images / meter.total, 2) if meter.total else None,
        "network_share": round(meter.network / meter.total, 4) if meter.total else None,
        "software": software(),
    }
