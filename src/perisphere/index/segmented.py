"""From a segmented catalog to the regions of an index: boxes, outlines, and a vector for each."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from perisphere.catalog.images import ImageError, decode
from perisphere.catalog.label_images import read_labels
from perisphere.errors import PerisphereError
from perisphere.index.index import Index
from perisphere.index.kept_regions import Segmented
from perisphere.index.region_shape import cover_of_box, outline_of, weighted_direction
from perisphere.index.regions import Outline, Region
from perisphere.progress import track
from perisphere.tags.architecture import CONCEPTS

if TYPE_CHECKING:
    from perisphere.catalog import Catalog
    from perisphere.encoder.segment import Segmenter

LAYER = "decoder"
"""Whose features the vectors of regions are means of."""


@dataclass(frozen=True)
class Brought:
    """What came into the index.

    Attributes:
        photos: of the index that have their regions now.
        regions: how many these are.
        vectors: how many of them have a vector.
        strangers: segmented photos that are not in the index.
        unreadable: why photos have no vectors.
    """

    photos: int
    regions: int
    vectors: int
    strangers: int
    unreadable: tuple[str, ...] = ()


def bring_regions(index: Index, catalog: Catalog, *, vectors: bool = True) -> Brought:
    """Give the photos of an index the regions that a segmentation found, all of them or none.

    Photos are told by their files; where a file lies elsewhere now, by its path in the catalog, as long as
    the index has it once. Regions that a photo had are replaced, those of other photos stay.

    Args:
        index: where they go.
        catalog: what ``perisphere segment predict`` wrote.
        vectors: give each region the mean of its unit decoder features, where the index's encoder segments.

    Raises:
        PerisphereError: the catalog was not segmented, none of its photos is in the index, a mask that cannot
            be read, or vectors of another encoder beside those of other photos.
    """
    if catalog.regions is None:
        raise PerisphereError(
            f"{catalog.root}: this catalog has no regions. Make them with `perisphere segment predict "
            "CATALOG --encoder E -o SEGMENTED`, and bring SEGMENTED."
        )
    places = places_of(index, catalog)
    if not places:
        raise PerisphereError(
            f"{index.folder}: none of the {len(catalog)} photos of the catalog is in this index. Add them "
            "first (`perisphere index add`), or name the catalog of its photos."
        )
    segmenter = _segmenter(index) if vectors else None
    about: dict[str, Any] = {"encoder": None, "layer": None, "dim": None}
    if segmenter is not None:
        about = {"encoder": segmenter.encoder.identity, "layer": LAYER, "dim": segmenter.net.dim}
    with TemporaryFile("w+", encoding="utf-8") as texts, TemporaryFile() as rows:
        unreadable = _stage(catalog, places, segmenter, texts, rows)
        counts = {"photos": 0, "vectors": 0}
        staged = _staged(texts, rows, about["dim"], counts)
        concepts = catalog.source.get("concepts") or list(CONCEPTS)
        total = sum(map(len, places.values()))
        brought = index.regions.put(staged, concepts, about, total)
    strangers = len(_segmented(catalog).difference(places))
    return Brought(counts["photos"], brought, counts["vectors"], strangers, tuple(unreadable))


def places_of(index: Index, catalog: Catalog) -> dict[int, list[int]]:
    """Return for each segmented photo of a catalog (its id there) its ids in the index, where it has any."""
    by_file: defaultdict[str, list[int]] = defaultdict(list)
    by_path: defaultdict[str, list[int]] = defaultdict(list)
    real = lru_cache(maxsize=1024)(os.path.realpath)
    files: defaultdict[str, set[str]] = defaultdict(set)
    for id_, root, path in index.paths():
        file = os.path.normpath(Path(real(root or ""), path))
        by_file[file].append(id_)
        by_path[path].append(id_)
        files[path].add(file)
    base = real(str(catalog.root))
    wanted = _segmented(catalog)
    found = {}
    for image, path in catalog.table.select("id", "path").iter_rows():
        ids = by_file.get(os.path.normpath(Path(base, path)))
        if ids is None and len(files.get(path, ())) == 1:
            ids = by_path[path]
        if image in wanted and ids:
            found[image] = ids
    return found


def _segmenter(index: Index) -> Segmenter | None:
    """Return what gives features, ``None`` where the index's encoder does not segment."""
    from perisphere.encoder.segment import Segmenter
    from perisphere.nets.segmentation import SegmentationNet

    encoder = index.encoder()
    return Segmenter(encoder) if encoder is not None and isinstance(encoder.net, SegmentationNet) else None


def _segmented(catalog: Catalog) -> set[int]:
    """Return the ids of the photos that were looked at, those in which nothing was found included."""
    assert catalog.regions is not None
    if catalog.masks is None:
        return set(catalog.table["id"])
    return set(catalog.mask_paths("concepts")) | set(catalog.regions["image"])


def _stage(
    catalog: Catalog,
    places: dict[int, list[int]],
    segmenter: Segmenter | None,
    texts: IO[str],
    rows: IO[bytes],
) -> list[str]:
    """Write each photo's regions as a line, and their vectors, to files; return why vectors are missing.

    The index is not locked meanwhile, and nothing but a block is in memory.
    """
    assert catalog.regions is not None
    masks = catalog.mask_paths("concepts")
    names = list(catalog.source.get("concepts") or CONCEPTS)
    rows_of = _by_photo(catalog.regions)
    paths = dict(catalog.table.select("id", "path").iter_rows())
    unreadable = []
    for image in track(sorted(places), "regions", unit="photos"):
        found = rows_of(image)
        labels = read_labels(masks[image]) if image in masks and found else None
        whole = [_region(row, labels, names) for row in found]
        vectors = None
        if segmenter is not None and whole:
            try:
                vectors = _vectors(segmenter, decode(catalog.root / paths[image]), whole, labels, names)
            except ImageError as error:
                unreadable.append(str(error))
        if vectors is not None:
            rows.write(vectors.tobytes())
        line = {"ids": places[image], "vectors": vectors is not None}
        texts.write(json.dumps(line | {"regions": [_cells(region) for region in whole]}) + "\n")
    return unreadable


def _by_photo(regions: pl.DataFrame) -> Callable[[int], list[dict[str, Any]]]:
    """Return what gives the rows of one photo."""
    ordered = regions.sort("image", maintain_order=True)
    images = ordered["image"].to_numpy()

    def rows(image: int) -> list[dict[str, Any]]:
        start, stop = np.searchsorted(images, [image, image + 1])
        return ordered.slice(start, stop - start).rows(named=True)

    return rows


def _staged(texts: IO[str], rows: IO[bytes], dim: int | None, counts: dict[str, int]) -> Iterator[Segmented]:
    """Read back what :func:`_stage` wrote, counting it."""
    texts.seek(0)
    rows.seek(0)
    for line in texts:
        told = json.loads(line)
        regions = [
            Region(concept, score, share, tuple(box), outline)
            for concept, score, share, box, outline in told["regions"]
        ]
        vectors = None
        if told["vectors"] and dim is not None:
            data = rows.read(4 * dim * len(regions))
            vectors = np.frombuffer(data, np.float32).reshape(len(regions), dim)
        for id_ in told["ids"]:
            counts["photos"] += 1
            counts["vectors"] += 0 if vectors is None else len(vectors)
            yield id_, regions, vectors


def _region(row: dict[str, Any], labels: NDArray[np.uint8] | None, names: list[str]) -> Region:
    outline: Outline = ()
    if labels is not None and row["concept"] in names:
        outline = outline_of(labels == 1 + names.index(row["concept"]))
    box = (row["x0"], row["y0"], row["x1"], row["y1"])
    return Region(row["concept"], row["score"], row["share"], box, outline)


def _cells(region: Region) -> list[Any]:
    return [region.concept, region.score, region.share, region.box, region.outline]


def _vectors(
    segmenter: Segmenter,
    picture: NDArray[np.uint8],
    regions: Sequence[Region],
    labels: NDArray[np.uint8] | None,
    names: list[str],
) -> NDArray[np.float32]:
    """Return the mean direction of the features in each region, float32 ``[n, d]``.

    Raises:
        ImageError: a region without any direction.
    """
    features = segmenter.features(picture, LAYER)
    grid = (features.shape[1], features.shape[2])
    vectors = np.empty((len(regions), features.shape[0]), np.float32)
    for place, region in enumerate(regions):
        cover = cover_of_box(region.box, picture.shape[:2], grid)
        if labels is not None and region.concept in names:
            mask = (labels == 1 + names.index(region.concept)).astype(np.float32)
            cover = cv2.resize(mask, grid[::-1], interpolation=cv2.INTER_AREA)
        direction = weighted_direction(features, np.asarray(cover, np.float32))
        if direction is None:
            raise ImageError("photo", f"its {region.concept} has no direction among the features")
        vectors[place] = direction
    return vectors
