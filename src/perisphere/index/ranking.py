"""What a search answers: ids and scores for each query, best first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from perisphere.errors import PerisphereError
from perisphere.storage import whole_file

NONE = -1
_SCHEMA = {"query": pl.Int64, "rank": pl.Int64, "id": pl.Int64, "score": pl.Float32}


@dataclass(frozen=True)
class Ranking:
    """The nearest rows of each query.

    Attributes:
        ids: int64 ``[q, k]``, best first; ``-1`` where there are fewer than ``k`` results. An index answers
            with at most as many columns as it holds images.
        scores: float32 ``[q, k]``, higher is better: the cosine, or the negated distance for L2 and L1;
            ``-inf`` where the id is ``-1``.
        road: how the answer was found, e.g. ``"exact"`` or ``"gather + exact"``.
        metric: ``"cosine"``, ``"l2"`` or ``"l1"``.
    """

    ids: np.ndarray
    scores: np.ndarray
    road: str
    metric: str

    def __post_init__(self) -> None:
        if self.ids.shape != self.scores.shape or self.ids.ndim != 2:
            raise PerisphereError(
                f"A Ranking needs ids and scores of one shape [q, k], "
                f"not {self.ids.shape} and {self.scores.shape}."
            )

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Ranking)
            and (self.road, self.metric) == (other.road, other.metric)
            and np.array_equal(self.ids, other.ids)
            and np.array_equal(self.scores, other.scores)
        )

    __hash__ = None  # type: ignore[assignment]

    def results(self, query: int = 0) -> list[tuple[int, float]]:
        """Return ``(id, score)`` of one query's results, best first, without the empty places."""
        found = self.ids[query] != NONE
        return list(zip(self.ids[query][found].tolist(), self.scores[query][found].tolist(), strict=True))

    def first(self, k: int) -> Ranking:
        """Return the first ``k`` results of each query."""
        if self.ids.shape[1] <= k:
            return self
        return Ranking(self.ids[:, :k], self.scores[:, :k], self.road, self.metric)

    def at_least(self, min_score: float) -> Ranking:
        """Return the ranking without the results that score below ``min_score``."""
        poor = self.scores < min_score
        ids = np.where(poor, NONE, self.ids)
        scores = np.where(poor, np.float32(-np.inf), self.scores)
        return Ranking(ids, scores, self.road, self.metric)

    def frame(self) -> pl.DataFrame:
        """Return the results as a table: ``query``, ``rank`` (from 1), ``id``, ``score``."""
        query, rank = np.nonzero(self.ids != NONE)
        columns = (query, rank + 1, self.ids[query, rank], self.scores[query, rank])
        return pl.DataFrame(dict(zip(_SCHEMA, columns, strict=True)), schema=_SCHEMA)

    def to_dict(self) -> dict[str, Any]:
        """Return what :meth:`save` writes as JSON."""
        results = [
            [{"id": id_, "score": score} for id_, score in self.results(query)] for query in range(len(self))
        ]
        return {"metric": self.metric, "road": self.road, "k": self.ids.shape[1], "results": results}

    def save(self, path: Path) -> None:
        """Write the ranking as ``.parquet`` or ``.json``, by the name of the file."""
        path = Path(path)
        if path.suffix == ".json":
            with whole_file(path) as part:
                part.write_text(json.dumps(self.to_dict(), indent=1), encoding="utf-8")
        elif path.suffix == ".parquet":
            facts = {
                "metric": self.metric,
                "road": self.road,
                "queries": str(len(self)),
                "k": str(self.ids.shape[1]),
            }
            with whole_file(path) as part:
                self.frame().write_parquet(part, metadata=facts)
        else:
            raise PerisphereError(f"{path}: a ranking is written as .parquet or .json.")

    @classmethod
    def load(cls, path: Path) -> Ranking:
        """Read a ranking that :meth:`save` wrote.

        Raises:
            PerisphereError: the file is missing or holds no ranking.
        """
        path = Path(path)
        try:
            return _from_json(path) if path.suffix == ".json" else _from_parquet(path)
        except (OSError, KeyError, TypeError, ValueError, IndexError, pl.exceptions.PolarsError) as error:
            raise PerisphereError(f"{path}: is not a saved ranking ({error}).") from error


def _from_json(path: Path) -> Ranking:
    data = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        (query, rank, result["id"], result["score"])
        for query, results in enumerate(data["results"])
        for rank, result in enumerate(results, start=1)
    ]
    frame = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    return _from_frame(frame, len(data["results"]), data["k"], data["road"], data["metric"])


def _from_parquet(path: Path) -> Ranking:
    facts = pl.read_parquet_metadata(path)
    frame = pl.read_parquet(path)
    return _from_frame(frame, int(facts["queries"]), int(facts["k"]), facts["road"], facts["metric"])


def _from_frame(frame: pl.DataFrame, queries: int, k: int, road: str, metric: str) -> Ranking:
    ids = np.full((queries, k), NONE, dtype=np.int64)
    scores = np.full((queries, k), -np.inf, dtype=np.float32)
    place = (frame["query"].to_numpy(), frame["rank"].to_numpy() - 1)
    ids[place] = frame["id"].to_numpy()
    scores[place] = frame["score"].to_numpy()
    return Ranking(ids, scores, road, metric)
