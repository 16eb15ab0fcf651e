"""An index follows a folder of photos: what is new there is embedded, what is gone goes, what moved stays."""

from __future__ import annotations

import fcntl
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from perisphere.catalog.images import ImageError, ImageInfo, probe
from perisphere.catalog.threads import in_order
from perisphere.errors import PerisphereError
from perisphere.index.duplicates import THRESHOLD, check_threshold
from perisphere.index.folder_scan import Scan, below, contents, is_gone, scan, written
from perisphere.index.index import Index
from perisphere.index.rows import SCHEMA
from perisphere.index.sync_plan import Fresh, Plan, compare
from perisphere.progress import bar

if TYPE_CHECKING:
    from perisphere.encoder import Encoder
    from perisphere.encoder.inference import Inference
    from perisphere.encoder.runtimes.names import Runtime

BATCH = 1024
"""Photos that are embedded before they are written: what a kill can cost."""

NEAR = 5
"""Near-duplicates that are named of one new photo."""


@dataclass(frozen=True)
class Entry:
    """What became of one photo.

    Attributes:
        path: from the folder.
        ids: of its rows now; none in a dry run, and where it is gone.
        was: the ids that it had, where they are gone.
        came_from: its earlier path, where it has moved.
    """

    path: str
    ids: tuple[int, ...] = ()
    was: tuple[int, ...] = ()
    came_from: str | None = None


@dataclass(frozen=True)
class Near:
    """A new photo that looks like one that was there before it.

    Attributes:
        id: of the new photo.
        path: its path.
        near: the id of the other.
        near_path: the other's path.
        score: their cosine.
    """

    id: int
    path: str
    near: int
    near_path: str | None
    score: float


@dataclass
class Synced:
    """What a sync found and did, or would do.

    Attributes:
        new: photos that were not there before.
        changed: photos with other pixels than before; each has a new id.
        moved: photos that lie elsewhere now; each keeps its id and its vector.
        relabelled: photos whose folder's class is called otherwise now.
        removed: photos that are not there any more.
        unsettled: photos that changed while they were read; the next sync takes them.
        unreadable: path and reason of what cannot be used; rows of such photos stay as they were.
        near: near-duplicates of new and changed photos.
        same: how many rows are as before.
        images: how many the index holds now.
        dry_run: nothing was done.
    """

    new: list[Entry] = field(default_factory=list)
    changed: list[Entry] = field(default_factory=list)
    moved: list[Entry] = field(default_factory=list)
    relabelled: list[Entry] = field(default_factory=list)
    removed: list[Entry] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    near: list[Near] = field(default_factory=list)
    same: int = 0
    images: int = 0
    dry_run: bool = False

    @property
    def changes(self) -> int:
        """How many photos the index has taken in, changed or let go."""
        lists = (self.new, self.changed, self.moved, self.relabelled, self.removed)
        return sum(map(len, lists))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        unreadable = [{"path": path, "reason": reason} for path, reason in self.unreadable]
        return {**asdict(self), "unreadable": unreadable}


def sync(
    index: Index,
    folder: Path | str,
    *,
    threshold: float | None = THRESHOLD,
    runtime: Runtime | None = None,
    dry_run: bool = False,
    allow_empty: bool = False,
) -> Synced:
    """Bring an index up to date with a folder of photos.

    Photos are told by size, time and, where these differ, by the hash of their bytes. Rows of photos outside
    the folder are left alone. New photos get split, label and categories as ``read folders`` gives them. A
    changed photo gets a new id, since an id stands for one vector, and keeps what else its row says. What is
    embedded is written in batches, so that a sync that was killed has lost one of them at most, and the next
    one completes it.

    Args:
        index: the index; its own encoder embeds.
        folder: the photos.
        threshold: least cosine of a near-duplicate of a new photo; ``None`` looks for none.
        runtime: what runs the encoder's network; ``None``: its own.
        dry_run: only find out what would be done.
        allow_empty: take all photos out where the folder holds none any more.

    Raises:
        PerisphereError: no such folder, an empty one, another sync at work, an index without an encoder or
            with centroids only, or the disk refuses.
        UsageError: the threshold is out of range, or the runtime is another than that of an int8 encoder.
    """
    if threshold is not None:
        check_threshold(threshold)
    encoder = _encoder(index).on(runtime)
    with _alone(index.folder):
        found, plan = _planned(index, Path(folder), allow_empty)
        told = Synced(same=plan.same, dry_run=dry_run)
        if dry_run:
            _foretell(plan, told)
        else:
            _carry_out(index, encoder, found, plan, told, threshold)
        told.unreadable = sorted(found.unreadable)
        told.images = len(index)
    return told


def _encoder(index: Index) -> Encoder:
    if index.centroids_kept == "only":
        raise PerisphereError(
            f"{index.folder}: keeps centroids only, and a photo that goes has to be taken out of one by its "
            "vector. Make an index that keeps photos too (`perisphere index create --centroids`)."
        )
    encoder = index.encoder()
    if encoder is None:
        raise PerisphereError(
            f"{index.folder}: holds no encoder to embed new photos with. Create it with --encoder."
        )
    return encoder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second sync of the same index away; the system lets go of the lock with its process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PerisphereError(f"{folder}: another sync is at work on it; wait for it.") from error
        yield
    finally:
        os.close(handle)


def _planned(index: Index, folder: Path, allow_empty: bool) -> tuple[Scan, Plan]:
    found = scan(folder, without=index.folder)
    known = below(index.files.read(), folder, without=index.folder)
    if known and not found.written and not found.unreadable and not allow_empty:
        raise PerisphereError(
            f"{folder}: holds no photo any more, and the index has {len(known):,} of it. Is a disk missing? "
            "If they are gone for good, say --allow-empty."
        )
    lying = contents(found, known)
    judged = {path: rows for path, rows in known.items() if path in lying or is_gone(found.root / path)}
    return found, compare(judged, lying, found.places)


def _foretell(plan: Plan, told: Synced) -> None:
    for fresh in plan.fresh:
        was = tuple(row.id for row in fresh.succeeds)
        (told.changed if was else told.new).append(Entry(fresh.path, was=was))
    _tell_moves(plan, told)
    told.removed = [Entry(path, was=(row.id,)) for row, path in plan.gone]


def _tell_moves(plan: Plan, told: Synced) -> None:
    told.moved = [Entry(move.path, (move.id,), came_from=path) for move, path in plan.moves]
    told.relabelled = [Entry(move.path, (move.id,)) for move in plan.relabelled]


def _carry_out(
    index: Index, encoder: Encoder, found: Scan, plan: Plan, told: Synced, threshold: float | None
) -> None:
    moves = [move for move, _ in plan.moves] + plan.relabelled
    if moves:
        index.files.move(moves, found.root)
    if plan.noted:
        index.files.note(plan.noted)
    _tell_moves(plan, told)
    if plan.gone:
        index.remove([row.id for row, _ in plan.gone])
        told.removed = [Entry(path, was=(row.id,)) for row, path in plan.gone]
    if plan.fresh:
        inference = encoder.inference()
        with bar("embedding", len(plan.fresh)) as advance:
            for start in range(0, len(plan.fresh), BATCH):
                batch = plan.fresh[start : start + BATCH]
                _take_in(index, inference, encoder.identity, found, batch, told, threshold)
                advance(len(batch))


def _take_in(
    index: Index,
    inference: Inference,
    identity: str,
    found: Scan,
    batch: Sequence[Fresh],
    told: Synced,
    threshold: float | None,
) -> None:
    """Embed a batch, add what can be read, and take out what it succeeds."""
    sound = _sound(found, batch)
    rows = pl.DataFrame(
        [row for fresh, info in sound for row in _rows(index, fresh, info)], schema=SCHEMA, orient="row"
    )
    vectors, whole = _embedded(inference, found, rows)
    for path in rows.filter(~pl.Series(whole, dtype=pl.Boolean))["path"]:
        whole &= (rows["path"] != path).to_numpy()  # all rows of a photo, or none
    steady = {fresh.path: fresh for fresh, _ in sound if _is_steady(found, fresh.path)}
    told.unsettled += [fresh.path for fresh, _ in sound if fresh.path not in steady]
    whole &= np.array([path in steady for path in rows["path"]], dtype=bool)
    rows, vectors = rows.filter(pl.Series(whole, dtype=pl.Boolean)), vectors[whole]
    ids = index.add(
        vectors,
        rows,
        root=found.root,
        encoder_identity=identity,
        contents=[steady[path].content for path in rows["path"]],
    )
    taken = _tell_fresh(steady, rows["path"].to_list(), ids, told)
    gone = [row.id for fresh in taken for row in fresh.succeeds]
    if gone:
        index.remove(gone)
    if threshold is not None and len(ids):
        told.near += _near(index, found.root, ids, vectors, rows["path"].to_list(), threshold)


def _tell_fresh(steady: dict[str, Fresh], paths: list[str], ids: np.ndarray, told: Synced) -> list[Fresh]:
    own: dict[str, list[int]] = {}
    for path, id_ in zip(paths, ids.tolist(), strict=True):
        own.setdefault(path, []).append(id_)
    for path, held in own.items():
        was = tuple(row.id for row in steady[path].succeeds)
        (told.changed if was else told.new).append(Entry(path, tuple(held), was))
    return [steady[path] for path in own]


def _sound(found: Scan, batch: Sequence[Fresh]) -> list[tuple[Fresh, ImageInfo]]:
    """Return the photos that decode, with what they are; the others are listed in ``found``."""
    sound = []
    with warnings.catch_warnings():  # Pillow warns of broken metadata around good pixels
        warnings.filterwarnings("ignore", module=r"PIL\.")
        verdicts = in_order(_probed, [found.root / fresh.path for fresh in batch])
        for fresh, verdict in zip(batch, verdicts, strict=True):
            if isinstance(verdict, ImageError):
                found.unreadable.append((fresh.path, verdict.reason))
            else:
                sound.append((fresh, verdict))
    return sound


def _probed(path: Path) -> ImageInfo | ImageError:
    try:
        return probe(path)
    except ImageError as error:
        return error


def _rows(index: Index, fresh: Fresh, info: ImageInfo) -> Iterator[dict[str, Any]]:
    """Yield the rows of a photo: those that it had, with its new size, or one of its own."""
    size = {"path": fresh.path, "width": info.width, "height": info.height}
    if not fresh.succeeds:
        place = fresh.place
        categories = list(place.categories)
        yield {**dict.fromkeys(SCHEMA), **size, **asdict(place), "categories": categories}
        return
    for row in index.rows([row.id for row in fresh.succeeds]).drop("id", "root").iter_rows(named=True):
        as_large = (row["width"], row["height"]) == (info.width, info.height)
        yield {**row, **size, "box": row["box"] if as_large else None}


def _embedded(inference: Inference, found: Scan, rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 ``[n, dim]``, and which rows have a vector; the others are listed in ``found``."""
    from perisphere.encoder.encoder import NO_DIRECTION
    from perisphere.encoder.loading import batches

    paths = rows["path"].to_list()
    vectors = np.zeros((len(paths), inference.dim), np.float32)
    sources = [found.root / path for path in paths]
    read = batches(sources, inference.preprocessing, batch_size=32, boxes=rows["box"].to_list())
    for batch in read:
        vectors[batch.rows] = inference(batch.pictures)
        found.unreadable += [
            (paths[place], getattr(error, "reason", str(error))) for place, error in batch.failures
        ]
        found.unreadable += [(paths[place], NO_DIRECTION) for place in batch.rows if not vectors[place].any()]
    return vectors, np.asarray(vectors.any(axis=1), dtype=bool)


def _is_steady(found: Scan, path: str) -> bool:
    """Say whether a file is still what was hashed."""
    try:
        return written(found.root / path) == found.written[path]
    except (OSError, ValueError):
        return False


def _near(
    index: Index, root: Path, ids: np.ndarray, vectors: np.ndarray, paths: list[str], threshold: float
) -> list[Near]:
    """Return the near-duplicates of new photos among those that were added before them, best first."""
    ranking = index.search(vectors, NEAR + 1, metric="cosine", min_score=threshold)
    found = [
        (place, other, score)
        for place, (hits, scores) in enumerate(zip(ranking.ids, ranking.scores, strict=True))
        for other, score in zip(hits.tolist(), scores.tolist(), strict=True)
        if 0 <= other < ids[place]
    ]
    others = index.rows(sorted({other for _, other, _ in found}), missing_ok=True)
    named = {
        id_: _shown(Path(folder or "."), path, root)
        for id_, path, folder in others.select("id", "path", "root").iter_rows()
    }
    return [
        Near(int(ids[place]), paths[place], other, named[other], round(score, 6))
        for place, other, score in found
        if other in named and named[other] != paths[place]  # else it is another box of the photo
    ]


def _shown(folder: Path, path: str | None, root: Path) -> str | None:
    if path is None or folder == root:
        return path
    return str(folder / path)
