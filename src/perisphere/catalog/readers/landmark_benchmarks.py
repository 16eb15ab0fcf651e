"""Oxford 5k, Paris 6k and their revisited forms: photos, and ground truth that names queries with boxes.

Sources: Philbin et al., "Object retrieval with large vocabularies and fast spatial matching", CVPR 2007;
Philbin et al., "Lost in quantization", CVPR 2008; Radenovic et al., "Revisiting Oxford and Paris", CVPR 2018.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.ground_truth import QUERY_SUFFIX, Box, GroundTruth, Kind, read_ground_truth, stem
from perisphere.catalog.readers.file_names import class_of
from perisphere.catalog.readers.listing import Listing, walk
from perisphere.errors import PerisphereError, UsageError


def list_classic(root: Path, *, truth: Path | None = None) -> Listing:
    """List Oxford 5k or Paris 6k: every photo in split ``index``, then the queries with their boxes.

    The class is the file name up to its last underscore. A query's photo is in the index too, as in the
    published protocol.

    Args:
        root: the folder of the photos, which may lie in folders below it.
        truth: folder of the text files ``QUERY_query.txt``, ``_good``, ``_ok`` and ``_junk``, or
            ``gnd_NAME.pkl`` or ``.json``; looked for below ``root`` where it is not given.

    Raises:
        PerisphereError: no ground truth, or not of this kind; two photos have one name.
    """
    return _list(root, truth, "classic")


def list_revisited(root: Path, *, truth: Path | None = None) -> Listing:
    """List ROxford 5k or RParis 6k: the gallery in split ``index``, then the queries with their boxes.

    The gallery is in the order of the ground truth. Photos that it does not name are left out.

    Args:
        root: the folder that holds ``jpg`` and ``gnd_NAME.pkl``.
        truth: the ``.pkl``, or the same as ``.json``; the only ``gnd_*`` file in ``root`` where not given.

    Raises:
        PerisphereError: no ground truth, or not of this kind; two photos have one name.
    """
    return _list(root, truth, "revisited")


def _list(root: Path, truth: Path | None, kind: Kind) -> Listing:
    found = walk(root)
    file = Path(truth) if truth is not None else _find(found, kind)
    known = read_ground_truth(file)
    if known.kind != kind:
        mend = {"classic": "oxford5k or paris6k", "revisited": "revisited"}.get(known.kind, known.kind)
        raise UsageError(f"{file}: is ground truth of the {known.kind} kind. Read it as {mend}.")
    listing = Listing(found.root, bad=found.bad, ignored=found.ignored)
    photos = _by_name(found)
    gallery = photos if known.gallery is None else known.gallery
    listing.rows = [_row(photos[name], name, "index") for name in gallery if name in photos]
    listing.rows += [
        _row(photos[name], name, "query", box)
        for name, box in zip(known.queries, known.boxes, strict=True)
        if name in photos
    ]
    named = dict.fromkeys((*known.queries, *gallery, *_members(known)))
    listing.bad += [
        Skipped(name, "named by the ground truth, but there is no such photo")
        for name in named
        if name not in photos
    ]
    listing.ignored += [
        Skipped(path, "not named by the ground truth") for name, path in photos.items() if name not in named
    ]
    return listing


def _members(known: GroundTruth) -> Iterable[str]:
    return (name for lists in known.lists for names in lists.values() for name in names)


def _row(path: str, name: str, split: str, box: Box | None = None) -> dict[str, Any]:
    # Whole pixels of the photo as it is stored, as the published programs crop.
    whole = None if box is None else [round(corner) for corner in box]
    return {"path": path, "label": class_of(name), "split": split, "stored_box": whole}


def _by_name(found: Listing) -> dict[str, str]:
    """Return path by name: the ground truth knows neither folders nor extensions."""
    photos: dict[str, str] = {}
    for row in found.rows:
        path = row["path"]
        first = photos.setdefault(stem(path), path)
        if first != path:
            raise PerisphereError(
                f"{found.root}: {first} and {path} have the same name, so the ground truth cannot tell "
                "them apart. Rename or move one."
            )
    return photos


def _find(found: Listing, kind: Kind) -> Path:
    """Return the only ground truth below the photos' folder."""
    paths = [found.root / item.path for item in found.ignored]
    places = {path for path in paths if path.name.startswith("gnd_") and path.suffix in (".pkl", ".json")}
    if kind == "classic":
        places |= {path.parent for path in paths if path.name.endswith(QUERY_SUFFIX)}
    if len(places) != 1:
        what = f"QUERY{QUERY_SUFFIX} files or gnd_*.pkl" if kind == "classic" else "gnd_*.pkl or .json"
        has = "several" if places else "no"
        raise PerisphereError(f"{found.root}: holds {has} {what}. Name the ground truth with --truth.")
    return places.pop()
