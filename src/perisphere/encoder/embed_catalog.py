"""Embedding of a whole catalog: bounded memory, and a killed run goes on where it was."""

import logging
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch

from perisphere.catalog import Catalog
from perisphere.encoder.embedding_loop import Meter, Photos, embed_rest, run_facts
from perisphere.encoder.embeddings import Embeddings
from perisphere.encoder.encoder import Encoder
from perisphere.encoder.inference import Inference, Precision
from perisphere.encoder.journal import Journal
from perisphere.encoder.loading import check_batches
from perisphere.encoder.runtimes.names import Runtime
from perisphere.errors import PerisphereError
from perisphere.storage import check_replaceable, whole_folder

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
    runtime: Runtime | None = None,
    half: bool = False,
    whole: bool = False,
    overwrite: bool = False,
    ray: str | None = None,
) -> Embeddings:
    """Embed every image of a catalog, or the part of it in the catalog's box, into the folder ``out``.

    The work grows in ``.NAME.partial`` beside ``out`` and is renamed when it is whole. Called again after a
    kill, with the same images, encoder and precision, it goes on at the last block on the disk, and the
    result is the same as that of a run without a kill. Images that cannot be read, and those whose embedding
    is zero and so has no direction, are skipped and listed with the reason.

    Args:
        catalog: the images.
        encoder: what embeds them.
        out: a new folder: ``vectors.npy``, ``lengths.npy``, ``rows.parquet``, ``embeddings.json``.
        batch_size: images that pass through the network at once.
        device: a torch device; ``None`` takes the fastest kind that is there.
        workers: decoding threads; 0 means one a core.
        precision: ``auto`` takes bfloat16 where the device has it in hardware.
        runtime: what runs the network; ``None``: the encoder's own (:meth:`Encoder.on`).
        half: keep the vectors as float16, in half the space: each number is off by up to 0.05 %.
        whole: embed images whole although the catalog has boxes.
        overwrite: replace an earlier ``out``.
        ray: address of a Ray cluster whose machines embed (``auto``, ``local`` or ``HOST:PORT``); all of them
            must see the images under the same paths. ``precision="auto"`` is float32 then, so that all
            compute alike.

    Raises:
        PerisphereError: ``out`` exists, no image can be embedded, the network gives NaN, the disk refuses, or
            the cluster does not answer.
        UsageError: ``batch_size`` is below 1, ``workers`` is negative, or the device is not there.
    """
    out = Path(out).absolute()
    check_batches(batch_size, workers)
    check_replaceable(out, overwrite)
    if not len(catalog):
        raise PerisphereError(f"the catalog of {catalog.root} has no images; read a folder that has some.")
    machines: Machines
    if ray is None:
        inference = encoder.inference(device=device, precision=precision, unit=False, runtime=runtime)
        machines = Here(inference, batch_size, workers)
    else:
        from perisphere.encoder.ray_embedding import Cluster

        machines = Cluster(ray, encoder.on(runtime), batch_size, workers, device, precision)
    photos = Photos(catalog.paths(), [None] * len(catalog) if whole else catalog.table["box"].to_list())
    identity = encoder.identity
    state = {"encoder": identity, "images": photos.fingerprint(), "precision": machines.precision}
    state["lengths"] = "kept"
    if machines.runtime != "torch":
        state["runtime"] = machines.runtime
    if half:
        state["vectors"] = "float16"
    with Journal(out, encoder.dim, state, half=half) as journal:
        if journal.discarded:
            log.warning("%s: other images, encoder or precision; starting again", journal.folder)
        meter = Meter(resumed_at=journal.done)
        facts = machines.embed_rest(photos, journal, meter)
        if not journal.kept:
            row, reason = journal.skipped[0]
            raise PerisphereError(
                f"none of the {len(catalog)} images can be embedded; {photos.paths[row]}: {reason}."
            )
        with whole_folder(out, overwrite=overwrite) as part:
            vectors = journal.finish(part)
            boxes = sum(box is not None for box in photos.boxes)
            run = {**facts, "boxes": boxes, "seeds": _seeds(catalog, encoder)}
            described = _described(catalog, encoder, identity, vectors, journal.skipped, run)
            described.lengths = np.array(journal.lengths, np.float32)
            described.write_description(part)
        journal.remove()
    return Embeddings.load(out)


class Machines(Protocol):
    """What embeds: this machine, or those of a cluster.

    Attributes:
        precision: of the network's products, torch's name.
        runtime: what runs the network.
    """

    precision: str
    runtime: Runtime

    def embed_rest(self, photos: Photos, journal: Journal, meter: Meter) -> dict[str, Any]:
        """Embed what the journal has not yet, and return how."""


class Here:
    """This machine."""

    def __init__(self, inference: Inference, batch_size: int, workers: int) -> None:
        self.inference, self.precision = inference, str(inference.dtype)
        self.runtime = inference.runtime
        self.batch_size, self.workers = batch_size, workers

    def embed_rest(self, photos: Photos, journal: Journal, meter: Meter) -> dict[str, Any]:
        """Embed what the journal has not yet, and return how."""
        embed_rest(
            photos,
            self.inference,
            journal,
            meter,
            batch_size=self.batch_size,
            workers=self.workers,
            lengths=True,
        )
        return run_facts(self.inference, meter, self.batch_size)


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
