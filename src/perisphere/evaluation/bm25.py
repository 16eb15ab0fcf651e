"""The words of photos searched by BM25 (Robertson and Zaragoza 2009), as SQLite's full-text search has it."""

import sqlite3
from collections.abc import Iterable, Sequence

import numpy as np

from perisphere.errors import PerisphereError
from perisphere.metrics.scoring import Row
from perisphere.sphere.geometry import Vectors

STEMMED = "porter unicode61 remove_diacritics 2"
"""Words of any language without accents, English ones reduced to their stems."""

PLAIN = "unicode61 remove_diacritics 2"


class BM25Scores:
    """BM25 of a gallery's texts for queries (k1 = 1.2, b = 0.75); -inf where no word of the query occurs.

    The index lies in a file of its own that SQLite keeps in memory as far as there is room and removes at the
    end.

    Args:
        documents: text of each photo.
        queries: words or phrases of each query; a photo with one of them is found.
        tokenizer: of FTS5.

    Raises:
        PerisphereError: this Python's SQLite has no full-text search.
    """

    def __init__(
        self, documents: Iterable[str], queries: Sequence[Sequence[str]], tokenizer: str = STEMMED
    ) -> None:
        self._queries = queries
        self._table = sqlite3.connect("")  # a private file, gone when it is closed
        try:
            self._table.execute(f"CREATE VIRTUAL TABLE photos USING fts5(words, tokenize = '{tokenizer}')")
        except sqlite3.OperationalError as error:
            raise PerisphereError(
                f"BM25 needs SQLite with FTS5, which this Python lacks ({error}); use another build."
            ) from error
        self._size = 0
        self._table.executemany("INSERT INTO photos(rowid, words) VALUES (?, ?)", self._counted(documents))
        self._table.execute("INSERT INTO photos(photos) VALUES ('optimize')")

    def _counted(self, documents: Iterable[str]) -> Iterable[tuple[int, str]]:
        for row, words in enumerate(documents):
            self._size = row + 1
            yield row, _sound(words)

    def __len__(self) -> int:
        return len(self._queries)

    @property
    def gallery(self) -> int:
        """Number of photos."""
        return self._size

    def block(self, queries: slice) -> Row:
        """Return the scores of a block of queries."""
        rows = [self._scores(words) for words in self._queries[queries]]
        return rows.__getitem__

    def _scores(self, words: Sequence[str]) -> Vectors:
        scores = np.full(self._size, -np.inf, np.float32)
        if words:
            # In quotes nothing of the query language is left but the quotes themselves.
            sought = " OR ".join('"' + _sound(word).replace('"', '""') + '"' for word in words)
            found = self._table.execute("SELECT rowid, rank FROM photos WHERE photos MATCH ?", (sought,))
            pairs = np.array(found.fetchall(), np.float64).reshape(-1, 2)
            scores[pairs[:, 0].astype(np.int64)] = -pairs[:, 1]
        return scores


def _sound(text: str) -> str:
    """Return what SQLite can hold: no half characters, no zeros."""
    return text.encode("utf-8", "replace").decode().replace("\0", " ")
