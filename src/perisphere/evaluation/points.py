"""The vectors that a protocol judges, with their catalog rows: from an Embeddings folder or an Index."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, nearest
from perisphere.sphere.geometry import Vectors


@dataclass(frozen=True)
class Points:
    """Vectors and rows in the same order.

    Attributes:
        vectors: float32 or float16 ``[n, d]``, in memory or memory-mapped.
        rows: ``n`` rows with at least the columns ``id``, ``split`` and ``label``; ``path`` and ``root``
            where photos are looked at.
        source: where they came from, for the report.
        encoder: what made them, for the report.
        seeds: behind the encoder and the splits, where they are known, for the report.
        lengths: of the features before they were brought to length 1, float32 ``[n]``, where they were kept.
    """

    vectors: Vectors
    rows: pl.DataFrame
    source: str = ""
    encoder: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    lengths: Vectors | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.vectors)

    @property
    def ids(self) -> list[int]:
        """The catalog's or the index's number of each row."""
        return self.rows["id"].to_list()

    @property
    def labels(self) -> list[str | None]:
        """The class of each row, ``None`` where it has none."""
        return self.rows["label"].to_list()

    def where(self, mask: pl.Series) -> "Points":
        """Return the rows where ``mask`` is true; rows that follow one another are not copied."""
        positions = np.flatnonzero(mask.fill_null(False).to_numpy())
        if len(positions) == len(self):
            return self
        if len(positions) and positions[-1] - positions[0] == len(positions) - 1:
            return self._part(slice(int(positions[0]), int(positions[-1]) + 1))
        return self._part(positions)

    def take(self, positions: Sequence[int] | NDArray[np.int64]) -> "Points":
        """Return the rows at these positions, in this order."""
        return self._part(np.asarray(positions, np.int64))

    def _part(self, some: slice | NDArray[np.int64]) -> "Points":
        lengths = None if self.lengths is None else self.lengths[some]
        return replace(self, vectors=self.vectors[some], rows=self.rows[some], lengths=lengths)

    def of_split(self, splits: Sequence[str] | None) -> "Points":
        """Return the rows of these splits; ``None`` returns all.

        Raises:
            PerisphereError: a split that no row has; the message names those there are.
        """
        if splits is None:
            return self
        self.check_splits(splits)
        return self.where(self.rows["split"].is_in(list(splits)))

    def check_splits(self, splits: Sequence[str]) -> None:
        """Refuse a split that no row has (see :meth:`of_split`)."""
        known = sorted(self.rows["split"].drop_nulls().unique().to_list())
        for split in splits:
            if split not in known:
                there = f"the splits here are {', '.join(known)}" if known else "no row has a split"
                raise PerisphereError(
                    f"{self.source}: no row of split {split!r}; {there}.{nearest(split, known)}"
                )


def read_points(folder: Path) -> Points:
    """Open an Embeddings folder or an Index, whichever ``folder`` is.

    Raises:
        PerisphereError: it is neither, or damaged.
    """
    folder = Path(folder)
    if (folder / "embeddings.json").is_file():
        from perisphere.encoder.embeddings import Embeddings

        embeddings = Embeddings.load(folder)
        rows = embeddings.rows.with_columns(pl.lit(str(embeddings.root)).alias("root"))
        seeds = embeddings.run.get("seeds", {})
        return Points(
            embeddings.vectors, rows, str(folder), embeddings.encoder, seeds, lengths=embeddings.lengths
        )
    if (folder / "index.sqlite").is_file():
        from perisphere.index import Index

        with Index.open(folder) as index:
            if index.centroids_kept == "only":
                raise PerisphereError(
                    f"{folder}: keeps centroids only, and no vectors of the photos. Name the embeddings that "
                    "it was made of (`perisphere embed`), or an index that keeps photos too."
                )
            if index.codes_kept == "only":
                raise PerisphereError(
                    f"{folder}: keeps codes only, and no vectors of the photos. Name the embeddings that it "
                    "was made of (`perisphere evaluate hashing` measures codes of them)."
                )
            ids, vectors = index.vectors()
            seeds = _encoder_seed(folder / "encoder" / "encoder.json")
            return Points(vectors, index.rows(ids), str(folder), index.info()["encoder"] or {}, seeds)
    if not folder.exists():
        raise PerisphereError(f"{folder}: does not exist. Name a folder of `perisphere embed` or an index.")
    raise PerisphereError(
        f"{folder}: is neither an embeddings folder (embeddings.json) nor an index (index.sqlite). "
        "Make one with `perisphere embed` or `perisphere index create`."
    )


def _encoder_seed(description: Path) -> dict[str, int]:
    """Return the seed that an encoder's weights grew from, where its description says."""
    try:
        seed = json.loads(description.read_text("utf-8"))["provenance"]["seed"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {"encoder": seed} if isinstance(seed, int) else {}


def encoder_folder(points: Points) -> Path | None:
    """Return the folder of the encoder that made the vectors, where it still lies there unchanged."""
    inside = Path(points.source) / "encoder"
    folder = inside if inside.is_dir() else Path(points.encoder.get("path") or "nowhere")
    try:
        identity = json.loads((folder / "encoder.json").read_text("utf-8"))["identity"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return folder if identity == points.encoder.get("identity") else None


def file_of(row: dict[str, Any]) -> Path | None:
    """Return where the photo of a row lies, ``None`` where its ``path`` or ``root`` does not tell."""
    if row.get("path") is None:
        return None
    path = Path(row["path"])
    if path.is_absolute():
        return path
    return None if row.get("root") is None else Path(row["root"]) / path
