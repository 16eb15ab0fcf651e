"""Where the images that matter stand in a ranking, complete or cut short."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perisphere.metrics.matching import NONE, Positions, Rows
from perisphere.metrics.ranks import MISSING, Ranks


@dataclass(frozen=True)
class Places:
    """Places of some gallery rows in the ranking of each query.

    One pass over the gallery gives the places of every row that any protocol asks for; :func:`ranks_of` then
    makes the ranks of each protocol of them.

    Attributes:
        rows: gallery rows of each query, best first.
        at: their zero-based places among all gallery rows, ascending, aligned with ``rows``.
        total: gallery rows.
    """

    rows: Sequence[Positions]
    at: Sequence[NDArray[np.int64]]
    total: int

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.rows)


def places_in(lists: NDArray[np.int64], total: int) -> Places:
    """Return the places of everything in result lists, such as those of a re-ranker.

    Args:
        lists: gallery rows, best first, ``[q, k]``; -1 where a list is shorter.
        total: gallery rows, of which the lists may lack some.
    """
    rows = [row[row >= 0] for row in lists]
    return Places(rows, [np.arange(len(row)) for row in rows], total)


def ranks_of(places: Places, relevant: Rows, ignored: Rows | None = None) -> Ranks:
    """Return the ranks of the relevant images, with the ignored ones taken out before anything is counted.

    Args:
        places: of at least the relevant and the ignored images that the ranking holds.
        relevant: the gallery rows that are right for a query. One that ``places`` lacks is
            :data:`~perisphere.metrics.ranks.MISSING`: it adds nothing but stays in every denominator.
        ignored: the gallery rows that count neither as right nor as wrong; they win over ``relevant``.
    """
    values, counts, candidates = [], [], []
    for query in range(len(places)):
        rows, right = places.rows[query], relevant(query)
        aside = NONE if ignored is None else ignored(query)
        right = np.setdiff1d(right, aside)
        ranks = places.at[query] + 1 - np.cumsum(np.isin(rows, aside))
        found = ranks[np.isin(rows, right)]
        values += [found, np.full(len(right) - len(found), MISSING)]
        counts.append(len(right))
        candidates.append(places.total - np.count_nonzero(aside < places.total))
    return Ranks(np.concatenate(values or [NONE]), np.array(counts, np.int64), np.array(candidates, np.int64))
