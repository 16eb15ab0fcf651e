"""A re-ranker: checked parameters, and a function from Ranking to Ranking."""

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from perisphere.index.ranking import Ranking
from perisphere.search.rerank.context import Context


class Reranker(BaseModel, ABC):
    """One way to put lists into a better order. The fields of each are its parameters.

    Lists keep their length. The scores of the result are the re-ranker's own; higher is better.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    """Its word in a chain."""

    @property
    def width(self) -> int:
        """How long a list it makes use of; with a shorter one it makes do."""
        return 1

    @abstractmethod
    def __call__(self, ranking: Ranking, context: Context) -> Ranking:
        """Re-rank.

        Args:
            ranking: the lists, ``[q, k]``.
            context: the search that they answer.
        """

    def __str__(self) -> str:
        """Its text in a chain, with all parameters."""
        values = ((name, getattr(self, name)) for name in type(self).model_fields)
        return f"{self.name}({','.join(f'{name}={_text(value)}' for name, value in values)})"


class Mover(Reranker):
    """A re-ranker that moves points of the sphere, and then searches again."""

    @abstractmethod
    def move(self, ranking: Ranking, context: Context) -> Context:
        """Return the context with moved queries or a moved gallery; itself where nothing moves."""

    def again(self, ranking: Ranking, moved: Context) -> Ranking:
        """Answer the queries after a move, with lists of the same length."""
        return moved.search(moved.queries, ranking.ids.shape[1])

    def __call__(self, ranking: Ranking, context: Context) -> Ranking:
        """Move, and search again; see :class:`Reranker`."""
        moved = self.move(ranking, context)
        return ranking if moved is context else self.again(ranking, moved)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
