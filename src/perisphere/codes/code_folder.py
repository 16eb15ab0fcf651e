"""Codes on disk: one byte a book and image, the codebooks that read them, and their catalog rows."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from perisphere.codes.codebooks import Codebooks
from perisphere.errors import PerisphereError
from perisphere.storage import whole_folder

FORMAT = 1
CODES, ROWS, CODEBOOKS, DESCRIPTION = "codes.npy", "rows.parquet", "codebooks.npz", "codes.json"


@dataclass(frozen=True, eq=False)
class CodeFolder:
    """The codes of images, in the order of their catalog rows.

    Attributes:
        codes: uint8 ``[n, M]``; memory-mapped after :meth:`load`.
        rows: ``n`` rows with the columns of ``Catalog.table``.
        codebooks: what the codes mean.
        root: the folder that the column ``path`` is relative to.
        encoder: ``name``, ``identity`` and ``dim`` of the encoder whose vectors were encoded.
        run: how the codes were chosen, and ``lost``, the share of the squared lengths that they leave out.
    """

    codes: NDArray[np.uint8]
    rows: pl.DataFrame
    codebooks: Codebooks
    root: Path
    encoder: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = (len(self.rows), self.codebooks.books)
        if self.codes.shape != expected or self.codes.dtype != np.uint8:
            raise PerisphereError(
                f"codes of {self.codes.dtype} {list(self.codes.shape)} for {expected[0]} rows and "
                f"{expected[1]} books: uint8 {list(expected)} is needed."
            )
        words = self.codebooks.words.shape[1]
        if self.codes.size and int(self.codes.max()) >= words:
            raise PerisphereError(
                f"a code names word {self.codes.max()}, but a book has {words}; encode with these codebooks."
            )
        if not self.codes.flags.c_contiguous:  # as FAISS reads them
            object.__setattr__(self, "codes", np.ascontiguousarray(self.codes))

    def __len__(self) -> int:
        return len(self.codes)

    def save(self, folder: Path | str, *, overwrite: bool = False) -> Path:
        """Write a new folder, whole or not at all."""
        folder = Path(folder)
        with whole_folder(folder, overwrite=overwrite) as part:
            np.save(part / CODES, self.codes)
            self.rows.write_parquet(part / ROWS)
            self.codebooks.save(part / CODEBOOKS)
            described = {
                "format": FORMAT,
                "rows": len(self),
                "codebooks": self.codebooks.fingerprint,
                "root": str(self.root),
                "encoder": self.encoder,
                "run": self.run,
            }
            text = json.dumps(described, indent=2, ensure_ascii=False)
            (part / DESCRIPTION).write_text(text + "\n", encoding="utf-8", errors="surrogateescape")
        return folder

    @classmethod
    def load(cls, folder: Path | str) -> "CodeFolder":
        """Open a folder of codes; they stay on disk until they are touched.

        Raises:
            PerisphereError: a file is missing or damaged, the files do not belong together, or the format is
                newer than this version reads.
        """
        folder = Path(folder)
        described = _described(folder / DESCRIPTION)
        codebooks = Codebooks.load(folder / CODEBOOKS)
        codes = _opened(folder / CODES, lambda path: np.lib.format.open_memmap(path, mode="r"))
        rows = _opened(folder / ROWS, pl.read_parquet)
        if not {"id", "path"} <= set(rows.columns):
            raise PerisphereError(
                f"{folder / ROWS}: lacks the column id or path; run `perisphere codes encode` again."
            )
        if codebooks.fingerprint != described["codebooks"] or len(rows) != described["rows"]:
            raise PerisphereError(
                f"{folder}: {DESCRIPTION}, {CODEBOOKS} and {ROWS} do not belong together; run "
                "`perisphere codes encode` again."
            )
        try:
            return cls(
                codes, rows, codebooks, Path(described["root"]), described["encoder"], described["run"]
            )
        except PerisphereError as error:
            raise PerisphereError(f"{folder}: {error}") from None


def _described(path: Path) -> dict[str, Any]:
    described = _opened(path, lambda path: json.loads(path.read_text("utf-8", errors="surrogateescape")))
    wanted = {"format": int, "rows": int, "codebooks": str, "root": str, "encoder": dict, "run": dict}
    for name, kind in wanted.items():
        if not isinstance(described, dict) or not isinstance(described.get(name), kind):
            raise PerisphereError(
                f"{path}: {name!r} is missing or damaged; run `perisphere codes encode` again."
            )
    if described["format"] > FORMAT:
        raise PerisphereError(
            f"{path}: format {described['format']} is newer than this Perisphere reads ({FORMAT}); upgrade "
            "with `pip install -U perisphere`."
        )
    return described


def _opened(path: Path, read: Any) -> Any:
    try:
        return read(path)
    except FileNotFoundError as error:
        raise PerisphereError(
            f"{path}: not found; name a folder written by `perisphere codes encode`."
        ) from error
    except (OSError, ValueError, EOFError, RecursionError, pl.exceptions.PolarsError) as error:
        reason = " ".join(str(error).split())
        raise PerisphereError(
            f"{path}: cannot be read ({reason}); run `perisphere codes encode` again."
        ) from error
