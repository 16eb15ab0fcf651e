"""Features as the centroid triplet program publishes them: ``embeddings.npy`` beside ``paths.npy``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError
from perisphere.foreign.numpy_file import read_npy, texts

FORMAT = 1
EMBEDDINGS, PATHS, MEMBERS, DESCRIPTION = "embeddings.npy", "paths.npy", "members.parquet", "features.json"

By = Literal["folder", "name"]
"""Where a photo's identity stands: its folder's name, or the file's name up to the last underscore."""


@dataclass(frozen=True)
class Features:
    """Features as an encoder gives them, of any length, with the photo or the identity of each.

    Attributes:
        vectors: ``[n, d]``, float32 unless another program wrote them; memory-mapped after :meth:`load`.
        names: the path of each photo, or the identity of each centroid.
        members: of centroids, ``identity`` and ``path`` of each photo behind them; of photos ``None``.
        about: encoder, counts, what was skipped and so on; empty for arrays that another program wrote.
    """

    vectors: NDArray[np.floating]
    names: list[str]
    members: pl.DataFrame | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def by(self) -> By | None:
        """How the identities of centroids were found; ``None`` for photos."""
        return self.about.get("centroids")

    @classmethod
    def load(cls, folder: Path | str) -> "Features":
        """Open a folder with ``embeddings.npy`` and ``paths.npy``, of this or of the published program.

        Nothing in the files is run, whatever they hold; vectors stay on the disk until they are touched.

        Raises:
            PerisphereError: a file is missing or damaged, or the files do not belong together.
        """
        folder = Path(folder)
        if not (folder / EMBEDDINGS).is_file():
            raise PerisphereError(
                f"{folder}: no {EMBEDDINGS} in it; name a folder written by `perisphere inference embed`."
            )
        vectors = read_npy(folder / EMBEDDINGS)
        if vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.shape[1]:
            raise PerisphereError(
                f"{folder / EMBEDDINGS}: holds {vectors.dtype} {list(vectors.shape)}, not numbers [n, d]."
            )
        names = texts(read_npy(folder / PATHS), folder / PATHS)
        if len(names) != len(vectors):
            raise PerisphereError(f"{folder}: {len(vectors)} embeddings but {len(names)} paths; embed again.")
        return cls(vectors, names, _members(folder / MEMBERS), _description(folder / DESCRIPTION))

    def write_names(self, folder: Path) -> None:
        """Write all but the vectors into ``folder``, where they are already."""
        np.save(folder / PATHS, np.array(self.names, np.str_), allow_pickle=False)
        if self.members is not None:
            self.members.write_parquet(folder / MEMBERS)
        about = {"format": FORMAT, "rows": len(self), "dim": int(self.vectors.shape[1]), **self.about}
        text = json.dumps(about, indent=2, ensure_ascii=False)
        (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def is_features(folder: Path) -> bool:
    """Tell whether ``folder`` holds features rather than photos."""
    return (folder / EMBEDDINGS).is_file()


def identity_of(path: str, by: By) -> str:
    """Return the identity that a photo's path names.

    Args:
        path: of the photo.
        by: ``folder`` takes the name of the folder it lies in; ``name`` takes the file's name up to the last
            underscore (``shoe_04.jpg`` is ``shoe``), or without one up to the suffix.
    """
    return Path(path).parent.name if by == "folder" else Path(path).stem.rsplit("_", 1)[0]


def check_by(by: str) -> None:
    """Refuse what is no way to find an identity (UsageError)."""
    if by not in get_args(By):
        raise UsageError(f"by {by!r} is unknown; use folder or name.")


def identities(paths: Sequence[str], by: By) -> list[str]:
    """Return the identity of each path.

    Raises:
        PerisphereError: a path that names none.
    """
    found = [identity_of(path, by) for path in paths]
    empty = next((path for path, identity in zip(paths, found, strict=True) if not identity), None)
    if empty is not None:
        raise PerisphereError(f"{empty}: its {by} names no identity. Rename it, or group by the other.")
    return found


def _members(path: Path) -> pl.DataFrame | None:
    if not path.is_file():
        return None
    try:
        members = pl.read_parquet(path, columns=["identity", "path"])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise PerisphereError(f"{path}: is damaged ({' '.join(str(error).split())}); embed again.") from error
    return members


def _description(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PerisphereError(f"{path}: cannot be read ({error}); embed again.") from error
    if not isinstance(described, dict) or not isinstance(described.get("format"), int):
        raise PerisphereError(f"{path}: has no format number; embed again.")
    if described["format"] > FORMAT:
        raise PerisphereError(
            f"{path}: format {described['format']} is newer than this Perisphere reads ({FORMAT}); "
            "upgrade with `pip install -U perisphere`."
        )
    encoder, by = described.get("encoder"), described.get("centroids")
    if not isinstance(encoder, dict | None) or by not in (None, *get_args(By)):
        raise PerisphereError(f"{path}: is damaged (encoder or centroids); embed again.")
    return described
