"""Classes as points on the sphere, and the files that hold them."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, UsageError, nearest
from perisphere.foreign.plain_pickle import read_plain_pickle
from perisphere.storage import whole_file
from perisphere.taxonomy.relations import Id
from perisphere.taxonomy.taxonomy import SHOWN, Taxonomy
from perisphere.taxonomy.text import read_text

PICKLES = (".pickle", ".pkl")
_DAMAGE = (ValueError, TypeError, LookupError, EOFError, TokenError, zipfile.BadZipFile, RecursionError)


@dataclass(frozen=True, eq=False)
class ClassPoints:
    """One point for each class.

    Attributes:
        points: float64 ``[n, d]``; unit rows for `unitsphere`, and for others where asked.
        classes: their ids as text, one for each row.
        taxonomy: where the classes hang, which lets inner nodes and names be asked for; None where unknown.
        method: how the points were made, such as ``unitsphere``.
    """

    points: NDArray[np.float64]
    classes: tuple[str, ...]
    taxonomy: Taxonomy | None = None
    method: str = ""

    def __post_init__(self) -> None:
        points = np.asarray(self.points)
        if points.ndim != 2 or len(points) != len(self.classes) or not points.size:
            shape = list(points.shape)
            raise PerisphereError(
                f"class points: {len(self.classes)} classes need as many rows, got {shape}."
            )
        if points.dtype.kind not in "fiu" or not np.isfinite(points).all():
            raise PerisphereError("class points: hold values that are no finite numbers.")
        if len(set(self.classes)) != len(self.classes):
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise PerisphereError(f"class points: class {twice!r} has several rows.")
        object.__setattr__(self, "points", np.ascontiguousarray(points, dtype=np.float64))

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def dim(self) -> int:
        """The dimension of the points."""
        return int(self.points.shape[1])

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.classes)}

    def name_of(self, row: int) -> str:
        """Return what the class of a row is called, its id where it has no name."""
        node = self._node(self.classes[row])
        return self.classes[row] if self.taxonomy is None or node is None else self.taxonomy.name_of(node)

    def rows_of(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """Return the row of each label, int64 ``[n]``; a label is an id, or a name of the taxonomy.

        Raises:
            PerisphereError: names the labels that have no point.
        """
        rows: dict[str, int] = {}
        unknown: list[str] = []
        for label in dict.fromkeys(labels):
            row = self._row(label)
            if row is None:
                unknown.append(label)
            else:
                rows[label] = row
        if unknown:
            more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
            raise PerisphereError(
                f"{len(unknown)} of {len(unknown) + len(rows)} labels have no class point: "
                f"{', '.join(map(repr, unknown[:SHOWN]))}{more}.{self._nearest(unknown[0])}"
            )
        return np.array([rows[label] for label in labels], dtype=np.int64)

    def point(self, text: str) -> NDArray[np.float64]:
        """Return the unit point of a class or of any node of the taxonomy, float64 ``[d]``.

        A node without a point of its own lies where the mean of the points of the leaves below it points.

        Args:
            text: an id or a name.

        Raises:
            PerisphereError: nothing is called so, no class below it has a point, or their mean is zero.
        """
        row = self._row(text)
        if row is not None:
            return _unit(self.points[row], text)
        if self.taxonomy is None:
            raise PerisphereError(f"class {text!r}: has no point.{self._nearest(text)}")
        node = self.taxonomy.find(text)
        below = [self._rows.get(str(each)) for each in self.taxonomy.leaves_under(node)]
        rows = [row for row in below if row is not None]
        if not rows:
            raise PerisphereError(f"class {text!r}: no class below it has a point.")
        return _unit(self.points[rows].mean(axis=0), text)

    def _row(self, label: str) -> int | None:
        if label in self._rows:
            return self._rows[label]
        node = self._node(label)
        return None if node is None else self._rows.get(str(node))

    def _node(self, label: str) -> Id | None:
        """Return the node that a label means, None where it means none; a name of several is an error."""
        if self.taxonomy is None:
            return None
        return self.taxonomy.lookup(label)

    def _nearest(self, label: str) -> str:
        names = [self.name_of(row) for row in range(len(self))]
        return nearest(label, [*names, *self.classes])

    def save(self, path: Path) -> None:
        """Write ``.npz`` (exact, plain arrays) or ``.json`` by the suffix, the taxonomy included.

        Raises:
            UsageError: the suffix is another.
            PerisphereError: the file cannot be written.
        """
        path = Path(path)
        if path.suffix not in (".npz", ".json"):
            raise UsageError(f"{path}: class points are written as .npz or .json. Name such a file.")
        with whole_file(path) as part:
            if path.suffix == ".json":
                content = {**_record(self), "points": self.points.tolist()}
                part.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
                return
            arrays = {
                "record": np.array(json.dumps(_record(self), ensure_ascii=False)),
                "points": self.points,
            }
            with part.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> "ClassPoints":
        """Read what ``save`` wrote, or a published pickle of ``embedding`` and ``ind2label``; runs no code.

        Raises:
            PerisphereError: the file is missing, damaged, or holds something else.
        """
        path = Path(path)
        readers = {".npz": _read_npz, ".json": _read_json, **dict.fromkeys(PICKLES, _read_pickle)}
        if path.suffix not in readers:
            raise PerisphereError(f"{path}: class points are .npz, .json or .pickle files.")
        try:
            return readers[path.suffix](path)
        except OSError as error:
            raise PerisphereError(f"{path}: cannot be read ({error.strerror or error}).") from error
        except PerisphereError as error:
            message = str(error)
            raise PerisphereError(message if str(path) in message else f"{path}: {message}") from None
        except _DAMAGE as error:
            reason = " ".join(str(error).split())[:200]
            raise PerisphereError(f"{path}: holds no class points ({reason}). Write them again.") from error


def _unit(vector: NDArray[np.float64], text: str) -> NDArray[np.float64]:
    length = float(np.linalg.norm(vector))
    if length < 1e-12:
        raise PerisphereError(f"class {text!r}: its point has no direction (the zero vector).")
    return vector / length


def _record(points: ClassPoints) -> dict[str, Any]:
    """Return everything but the points, for JSON."""
    taxonomy = points.taxonomy
    tree: dict[str, Any] | None = None
    if taxonomy is not None:
        tree = {"relations": taxonomy.pairs, "names": list(taxonomy.names.items())}
    return {"method": points.method, "classes": list(points.classes), "taxonomy": tree}


def _from_record(record: dict[str, Any], points: Any) -> ClassPoints:
    classes, tree = record["classes"], record["taxonomy"]
    if not all(isinstance(name, str) for name in [*classes, record["method"]]):
        raise ValueError("its ids are no texts")
    taxonomy = None
    if tree is not None:
        pairs = [(parent, child) for parent, child in tree["relations"]]
        taxonomy = Taxonomy.from_pairs(pairs, {node: str(name) for node, name in tree["names"]})
    return ClassPoints(np.asarray(points, dtype=np.float64), tuple(classes), taxonomy, record["method"])


def _read_npz(path: Path) -> ClassPoints:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return _from_record(json.loads(str(arrays["record"])), arrays["points"])


def _read_json(path: Path) -> ClassPoints:
    content = json.loads(read_text(path))
    return _from_record(content, content["points"])


def _read_pickle(path: Path) -> ClassPoints:
    content = read_plain_pickle(path)
    if not isinstance(content, dict) or not {"embedding", "ind2label"} <= content.keys():
        raise ValueError("it has no 'embedding' and 'ind2label'")
    classes = tuple(str(label) for label in content["ind2label"])
    return ClassPoints(np.asarray(content["embedding"], dtype=np.float64), classes, None, "published")
