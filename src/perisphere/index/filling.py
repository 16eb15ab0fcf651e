"""From images to an index: embeddings, a catalog or a folder of photos become rows of an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from perisphere.errors import PerisphereError, UsageError
from perisphere.index.ids import whole_numbers
from perisphere.index.index import Index
from perisphere.storage import check_replaceable

if TYPE_CHECKING:
    from perisphere.catalog import Catalog
    from perisphere.codes.codebooks import Codebooks
    from perisphere.encoder import Embeddings, Encoder
    from perisphere.encoder.runtimes.names import Runtime


def create_from(
    folder: Path,
    source: Path,
    *,
    encoder: Path | None = None,
    runtime: Runtime | None = None,
    int8: bool = False,
    metric: str = "cosine",
    recall: float | None = None,
    centroids: str | None = None,
    codebooks: Path | None = None,
    codes: str = "beside",
    store: str | None = None,
    split: str | None = None,
    overwrite: bool = False,
) -> Index:
    """Make an index of ``source``, all of it or nothing.

    Args:
        folder: the new index.
        source: a folder of embeddings, a catalog, or a folder of photos.
        encoder: what embeds a catalog or photos; embeddings name their own, and this overrules where it lies.
        runtime: what runs the encoder's network here; ``None``: its own.
        int8: take the encoder's model of 8 bits.
        metric: ``"cosine"``, ``"l2"`` or ``"l1"``.
        recall: a target for approximate search; exact where it is ``None``.
        centroids: one point for each label, ``"beside"`` the photos or ``"only"`` these; none where ``None``.
        codebooks: a file of codebooks, or an encoder that has them, to give each image a code.
        codes: ``"beside"`` the vectors or ``"only"`` (instead of them).
        store: the address of an engine for the vectors and rows; they lie in the folder where ``None``.
        split: only the images of this split.
        overwrite: replace an earlier index.

    Raises:
        PerisphereError: no such source, another encoder than that of the embeddings, no images, or no
            codebooks.
        UsageError: photos or a catalog without an encoder.
    """
    folder = Path(folder)
    if folder.exists():
        check_replaceable(folder, overwrite)
    loaded = _encoder(source, encoder, runtime, int8)
    given = None if codebooks is None else _codebooks(codebooks)
    with _embedded(source, loaded, folder, split) as embeddings:

        def fill(index: Index) -> None:
            _add(index, embeddings)

        return Index.create(
            folder,
            embeddings.dim,
            metric=metric,
            encoder=loaded,
            recall=recall,
            centroids=centroids,
            codebooks=given,
            codes=codes,
            store=store,
            overwrite=overwrite,
            fill=fill,
        )


def add_from(
    index: Index, source: Path, *, split: str | None = None, runtime: Runtime | None = None
) -> np.ndarray:
    """Add the images of ``source`` to ``index`` and return their ids, int64 ``[n]``.

    Args:
        index: the index; its own encoder embeds a catalog or photos.
        source: a folder of embeddings, a catalog, or a folder of photos.
        split: only the images of this split.
        runtime: what runs the encoder's network here; ``None``: its own.

    Raises:
        PerisphereError: no such source, an index without an encoder, or embeddings of another one.
        UsageError: a runtime for embeddings, or another one than that of an int8 encoder.
    """
    if runtime is not None and _is_embeddings(source):
        raise _nothing_to_run(source)
    encoder = None if _is_embeddings(source) else index.encoder()
    if encoder is None and not _is_embeddings(source):
        raise PerisphereError(
            f"{index.folder}: holds no encoder to embed {source} with. Embed it first (`perisphere embed`), "
            f"and add the vectors."
        )
    encoder = None if encoder is None else encoder.on(runtime)
    with _embedded(source, encoder, index.folder, split) as embeddings:
        return _add(index, embeddings)


def remove_from(index: Index, ids: Sequence[int] | np.ndarray) -> int:
    """Remove images by id and return how many.

    Where the index keeps centroids only, photos that leave others of their label behind are embedded again.

    Raises:
        PerisphereError: no such id, or a photo that is needed again cannot be read.
    """
    partly = index.leaving_others(ids) if index.centroids_kept == "only" else ()
    if not len(partly):
        return index.remove(ids)
    encoder = index.encoder()
    files = [Path(root or ".") / path for root, path in index.rows(partly).select("root", "path").iter_rows()]
    if encoder is None:
        raise PerisphereError(
            f"{index.folder}: keeps no photo's vector and no encoder to make it again. Remove all photos of "
            "a label, or use Index.remove with their vectors."
        )
    unique = np.unique(whole_numbers(ids))
    vectors = np.ones((len(unique), index.dim), dtype=np.float32)  # those of whole labels are not looked at
    vectors[np.isin(unique, partly)] = encoder.encode(files)
    return index.remove(unique, vectors=vectors)


def _add(index: Index, embeddings: Embeddings) -> np.ndarray:
    return index.add(
        embeddings.vectors,
        embeddings.rows,
        root=Path(embeddings.root).absolute(),
        encoder_identity=embeddings.encoder.get("identity"),
    )


def _is_embeddings(source: Path) -> bool:
    return (source / "embeddings.json").is_file()


def _nothing_to_run(source: Path) -> UsageError:
    return UsageError(f"--runtime: {source} holds embeddings, for which no network runs. Leave it out.")


def _encoder(source: Path, encoder: Path | None, runtime: Runtime | None, int8: bool) -> Encoder | None:
    """The encoder that belongs into the index: the one named, or the one that the embeddings name."""
    if _is_embeddings(source):
        from perisphere.encoder import Embeddings
        from perisphere.encoder.runtimes.identified import load_identified

        if runtime is not None or int8:
            raise _nothing_to_run(source)
        made_with = Embeddings.load(source).encoder
        path = Path(made_with.get("path") or "") if encoder is None else encoder
        if encoder is None and not (path / "encoder.json").is_file():
            return None  # the embeddings came without it: the index answers for vectors, not for photos
        loaded = load_identified(path, made_with.get("identity"))
        if loaded.identity != made_with.get("identity"):
            if encoder is None:
                return None
            raise PerisphereError(
                f"{encoder}: is not the encoder that made {source} ({loaded.identity} instead of "
                f"{made_with.get('identity')}). Name that one, or embed again."
            )
        return loaded
    if encoder is None:
        raise UsageError(f"{source}: holds no embeddings: say with --encoder what embeds its images.")
    from perisphere.encoder import Encoder

    return Encoder.load(encoder).on(runtime, int8=int8)


def _codebooks(source: Path) -> Codebooks:
    """The codebooks of a file, or those of an encoder."""
    from perisphere.codes.codebooks import Codebooks

    if not source.is_dir():
        return Codebooks.load(source)
    from perisphere.encoder import Encoder

    found = Encoder.load(source).codebooks
    if found is None:
        raise PerisphereError(
            f"{source}: this encoder has no codebooks. Fit some to its embeddings (`perisphere codes fit`), "
            "and name their file."
        )
    return found


@contextmanager
def _embedded(source: Path, encoder: Encoder | None, folder: Path, split: str | None) -> Iterator[Embeddings]:
    """Yield the embeddings of ``source``. What is embedded on the way lies beside ``folder`` till it is in.

    So a run that was killed, or had no room to write the index, goes on with what it had embedded.
    """
    from perisphere.encoder import Embeddings

    if _is_embeddings(source):
        embeddings = Embeddings.load(source)
        yield embeddings if split is None else embeddings.select(split=split)
        return
    from perisphere.encoder import embed

    if encoder is None:
        raise UsageError(f"{source}: holds no embeddings: say with --encoder what embeds its images.")
    catalog = _catalog(source)
    catalog = catalog if split is None else catalog.select(split=split)
    out = folder.absolute().parent / f".{folder.name}.vectors"
    yield _finished(out, catalog, encoder) or embed(catalog, encoder, out, overwrite=True)
    rmtree(out, ignore_errors=True)


def _finished(out: Path, catalog: Catalog, encoder: Encoder) -> Embeddings | None:
    """What an earlier run has embedded whole: by this encoder, of these images, and none changed since."""
    from perisphere.encoder import Embeddings

    try:
        made = Embeddings.load(out)
        written = (out / "embeddings.json").stat().st_mtime_ns
        changed = any(path.stat().st_ctime_ns > written for path in catalog.paths())
    except (PerisphereError, OSError):
        return None
    skipped = [image["path"] for image in made.skipped]
    same = made.rows.equals(catalog.table.filter(~pl.col("path").is_in(skipped)))
    same = same and (made.encoder.get("identity"), made.root) == (encoder.identity, Path(catalog.root))
    return made if same and not changed else None


def _catalog(source: Path) -> Catalog:
    from perisphere.catalog import Catalog
    from perisphere.catalog.readers import read

    if (source / "catalog.json").is_file():
        return Catalog.load(source)
    if not source.is_dir():
        raise PerisphereError(f"{source}: is no folder of embeddings, catalog or folder of photos.")
    has_folders = any(path.is_dir() and not path.name.startswith(".") for path in source.iterdir())
    return read("folders" if has_folders else "images", source)
