"""Features of a folder of photos, or of the identities in it, without a catalog."""

from pathlib import Path

import numpy as np
import polars as pl
import torch

from perisphere.catalog.readers.listing import walk
from perisphere.encoder.embedding_loop import Meter, Photos, embed_rest, run_facts
from perisphere.encoder.encoder import Encoder
from perisphere.encoder.features import EMBEDDINGS, By, Features, check_by, identities
from perisphere.encoder.inference import Precision
from perisphere.encoder.journal import Journal
from perisphere.encoder.loading import check_batches
from perisphere.errors import PerisphereError
from perisphere.metrics.centroids import centroids
from perisphere.storage import check_replaceable, whole_folder


def embed_folder(
    source: Path | str,
    encoder: Encoder,
    out: Path | str,
    *,
    centroids_by: By | None = None,
    batch_size: int = 32,
    device: str | torch.device | None = None,
    workers: int = 0,
    precision: Precision = "auto",
    overwrite: bool = False,
) -> Features:
    """Write the features of every photo below a folder, not normalised, as the published program does.

    Killed, it goes on where it was when it is called again (see :func:`~perisphere.encoder.embed`). Photos
    that cannot be read are skipped, and listed in ``features.json`` with the reason.

    Args:
        source: a folder of photos, folders within it included, or a single photo.
        encoder: what embeds them.
        out: a new folder: ``embeddings.npy`` float32 ``[n, dim]``, ``paths.npy``, ``features.json``.
        centroids_by: write the mean feature of each identity in place of photos; ``paths.npy`` then holds the
            identities in the order of their first photo, and ``members.parquet`` the photos behind each.
        batch_size: images that pass through the network at once.
        device: a torch device; ``None`` takes the fastest kind that is there.
        workers: decoding threads; 0 means one a core.
        precision: ``auto`` takes bfloat16 where the device has it in hardware.
        overwrite: replace an earlier ``out``.

    Raises:
        PerisphereError: ``out`` exists, there is no photo, none can be embedded, or the disk refuses.
        UsageError: a wrong option.
    """
    out = Path(out).absolute()
    check_batches(batch_size, workers)
    if centroids_by is not None:
        check_by(centroids_by)
    check_replaceable(out, overwrite)
    paths, unreadable = photos_in(Path(source))
    inference = encoder.inference(device=device, precision=precision, unit=False)
    photos = Photos(paths, [None] * len(paths))
    state = {"encoder": encoder.identity, "images": photos.fingerprint()}
    state |= {"precision": str(inference.dtype), "rows": "features"}
    with Journal(out, encoder.dim, state) as journal:
        meter = Meter(resumed_at=journal.done)
        embed_rest(photos, inference, journal, meter, batch_size=batch_size, workers=workers)
        if not journal.kept:
            row, reason = journal.skipped[0]
            raise PerisphereError(f"none of the {len(paths)} photos can be embedded; {paths[row]}: {reason}.")
        skipped = [{"path": str(paths[row]), "reason": reason} for row, reason in journal.skipped]
        about = {
            "centroids": centroids_by,
            "photos": journal.kept,
            "images": state["images"],
            "encoder": {"name": encoder.name, "identity": encoder.identity, "dim": encoder.dim},
            "run": run_facts(inference, meter, batch_size),
            "skipped": unreadable + skipped,
        }
        left_out = {row for row, _ in journal.skipped}
        kept = [str(path) for row, path in enumerate(paths) if row not in left_out]
        with whole_folder(out, overwrite=overwrite) as part:
            found = Features(journal.finish(part, EMBEDDINGS), kept, about=about)
            (found if centroids_by is None else _centred(found, part, centroids_by)).write_names(part)
        journal.remove()
    return Features.load(out)


def photos_in(source: Path) -> tuple[list[Path], list[dict[str, str]]]:
    """Return the photos below a folder, sorted, or the one photo; and what of it cannot be used, and why.

    Raises:
        PerisphereError: nothing is there, or no photo is.
    """
    if source.is_file():
        return [source.absolute()], []
    root = source.absolute()
    listing = walk(root)
    if not listing.rows:
        raise PerisphereError(f"{source}: no photos in it or below. Name a folder that has some.")
    bad = [{"path": str(root / item.path), "reason": item.reason} for item in listing.bad]
    return [root / row["path"] for row in listing.rows], bad


def _centred(photos: Features, folder: Path, by: By) -> Features:
    """Put the mean feature of each identity in place of the photos' features in ``folder``."""
    groups = identities(photos.names, by)
    found = centroids(photos.vectors, groups)
    (folder / EMBEDDINGS).unlink()  # the journal has them still
    np.save(folder / EMBEDDINGS, found.points)
    members = pl.DataFrame({"identity": groups, "path": photos.names})
    return Features(found.points, [str(identity) for identity in found.ids], members, photos.about)
