"""Embeddings on disk: vectors, the catalog rows that they belong to, and where they came from."""

import json
from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import polars as pl

from perisphere.catalog.catalog import with_added_columns
from perisphere.errors import PerisphereError
from perisphere.storage import whole_folder

FORMAT = 1
VECTORS, LENGTHS = "vectors.npy", "lengths.npy"
ROWS, DESCRIPTION = "rows.parquet", "embeddings.json"


class Embeddings:
    """Unit vectors with their catalog rows, in the same order.

    Attributes:
        vectors: float32, or float16 where space matters more, ``[n, d]``; memory-mapped after :meth:`load`.
        rows: ``n`` rows with the columns of ``Catalog.table``; what earlier versions lacked is empty.
        root: the folder that the column ``path`` is relative to.
        encoder: ``name``, ``identity``, ``dim`` and ``path`` of the encoder.
        skipped: ``path`` and ``reason`` of each image that has no vector.
        run: how they were computed: device, precision, images per second and so on.
        lengths: that the features had before they were brought to length 1, float32 ``[n]``, where they were
            kept: a centroid is a mean of features as the network gave them.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        rows: pl.DataFrame,
        *,
        root: Path,
        encoder: dict[str, Any],
        skipped: Sequence[dict[str, str]] = (),
        run: dict[str, Any] | None = None,
        lengths: np.ndarray | None = None,
    ) -> None:
        if vectors.ndim != 2 or vectors.dtype not in (np.float32, np.float16):
            raise PerisphereError(
                f"vectors of {vectors.dtype} {list(vectors.shape)}: float32 or float16 [n, d] is needed."
            )
        if len(vectors) != len(rows):
            raise PerisphereError(f"{len(vectors)} vectors but {len(rows)} rows: one row a vector is needed.")
        if vectors.shape[1] != encoder.get("dim", vectors.shape[1]):
            raise PerisphereError(
                f"vectors of {vectors.shape[1]} numbers, but the encoder gives {encoder['dim']}."
            )
        self.vectors, self.rows, self.root = vectors, with_added_columns(rows), Path(root)
        if lengths is not None and (lengths.shape != (len(vectors),) or lengths.dtype != np.float32):
            raise PerisphereError(
                f"lengths of {lengths.dtype} {list(lengths.shape)} for {len(vectors)} vectors: "
                "float32, one a vector, is needed."
            )
        self.encoder, self.skipped, self.run = encoder, list(skipped), run or {}
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int(self.vectors.shape[1])

    def select(self, *, split: str | Sequence[str] | None = None) -> "Embeddings":
        """Return the rows of one split or several; ``None`` returns all.

        Raises:
            PerisphereError: there is no such split.
        """
        if split is None:
            return self
        wanted = [split] if isinstance(split, str) else list(split)
        known = self.rows["split"].drop_nulls().unique().sort().to_list()
        for name in wanted:
            if name not in known:
                there = ", ".join(known) or "none; give the images splits with `perisphere split`"
                raise PerisphereError(f"split {name!r} has no embeddings. Splits here: {there}.")
        mask = self.rows["split"].is_in(wanted).fill_null(False)
        return Embeddings(
            self.vectors[mask.to_numpy()],
            self.rows.filter(mask),
            root=self.root,
            encoder=self.encoder,
            skipped=self.skipped,
            run=self.run,
            lengths=None if self.lengths is None else self.lengths[mask.to_numpy()],
        )

    def save(self, folder: Path | str, *, overwrite: bool = False) -> Path:
        """Write the files into a new folder, whole or not at all."""
        folder = Path(folder)
        with whole_folder(folder, overwrite=overwrite) as part:
            np.save(part / VECTORS, self.vectors)
            self.write_description(part)
        return folder

    def write_description(self, folder: Path) -> None:
        """Write everything but the vectors, which are already in ``folder``."""
        if self.lengths is not None:
            np.save(folder / LENGTHS, self.lengths)
        self.rows.write_parquet(folder / ROWS)
        description = {
            "format": FORMAT,
            "rows": len(self),
            "dim": self.dim,
            "root": str(self.root),
            "encoder": self.encoder,
            "run": self.run,
            "skipped": self.skipped,
        }
        text = json.dumps(description, indent=2, ensure_ascii=False)
        (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8", errors="surrogateescape")

    @classmethod
    def load(cls, folder: Path | str) -> "Embeddings":
        """Open an embeddings folder; the vectors stay on disk until they are touched.

        Raises:
            PerisphereError: a file is missing or damaged, the files do not belong together, or the format is
                newer than this version reads.
        """
        folder = Path(folder)
        described = _read_description(folder / DESCRIPTION)
        vectors = _opened(folder / VECTORS, lambda path: np.load(path, mmap_mode="r", allow_pickle=False))
        rows = _opened(folder / ROWS, pl.read_parquet)
        expected = (described["rows"], described["dim"])
        if vectors.shape != expected or len(rows) != expected[0]:
            raise PerisphereError(
                f"{folder}: {DESCRIPTION} speaks of {list(expected)} numbers, but {VECTORS} holds "
                f"{list(vectors.shape)} and {ROWS} {len(rows)} rows; run `perisphere embed` again."
            )
        return cls(
            vectors,
            rows,
            root=Path(described["root"]),
            encoder=described["encoder"],
            skipped=described["skipped"],
            run=described["run"],
            lengths=_read_lengths(folder / LENGTHS, len(rows)),
        )


def _read_description(path: Path) -> dict[str, Any]:
    described = _opened(path, lambda path: json.loads(path.read_text("utf-8", errors="surrogateescape")))
    wanted = {
        "format": int,
        "rows": int,
        "dim": int,
        "root": str,
        "encoder": dict,
        "run": dict,
        "skipped": list,
    }
    if not isinstance(described, dict) or not isinstance(described.get("format"), int):
        raise PerisphereError(f"{path}: has no format number; run `perisphere embed` again.")
    if described["format"] > FORMAT:
        raise PerisphereError(
            f"{path}: format {described['format']} is newer than this Perisphere reads ({FORMAT}); "
            "upgrade with `pip install -U perisphere`."
        )
    for name, kind in wanted.items():
        if not isinstance(described.get(name), kind):
            raise PerisphereError(f"{path}: {name!r} is missing or damaged; run `perisphere embed` again.")
    return described


def _read_lengths(path: Path, rows: int) -> np.ndarray | None:
    """Return the lengths, ``None`` for a folder written before they were kept."""
    if not path.is_file():
        return None
    lengths: np.ndarray = _opened(path, lambda path: np.load(path, allow_pickle=False))
    if lengths.shape != (rows,) or lengths.dtype != np.float32:
        raise PerisphereError(
            f"{path}: holds {lengths.dtype} {list(lengths.shape)}, but {ROWS} {rows} rows; "
            "run `perisphere embed` again."
        )
    return lengths


def _opened(path: Path, read: Any) -> Any:
    try:
        return read(path)
    except FileNotFoundError as error:
        raise PerisphereError(f"{path}: not found; name a folder written by `perisphere embed`.") from error
    except (OSError, ValueError, EOFError, TokenError, pl.exceptions.PolarsError) as error:
        reason = " ".join(str(error).split())
        raise PerisphereError(f"{path}: cannot be read ({reason}); run `perisphere embed` again.") from error
