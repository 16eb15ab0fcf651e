"""Re-rankers one after another, written as ``aqe(n=10,alpha=3)+kreciprocal``."""

import re
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from perisphere.errors import UsageError, nearest
from perisphere.index.ranking import Ranking
from perisphere.search.rerank.context import Context
from perisphere.search.rerank.diffusion import Diffusion
from perisphere.search.rerank.expansion import AlphaExpansion, DatabaseAugmentation, QueryExpansion
from perisphere.search.rerank.geometric import GeometricVerification
from perisphere.search.rerank.kreciprocal import KReciprocal
from perisphere.search.rerank.label import LabelReranking
from perisphere.search.rerank.reranker import Mover, Reranker
from perisphere.search.rerank.soft_label import SoftLabelReranking

RERANKERS: dict[str, type[Reranker]] = {
    kind.name: kind
    for kind in (
        LabelReranking,
        SoftLabelReranking,
        QueryExpansion,
        AlphaExpansion,
        DatabaseAugmentation,
        KReciprocal,
        Diffusion,
        GeometricVerification,
    )
}
"""All re-rankers, by their word in a chain."""

_STEP = re.compile(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*")
_VALUE = re.compile(r"\s*(\w+)\s*=\s*([^\s=,]+)\s*")


@dataclass(frozen=True)
class Chain:
    """Re-rankers that work one after another; each sees the points as those before it have moved them."""

    steps: tuple[Reranker, ...]

    def __str__(self) -> str:
        """The chain as :func:`parse_chain` reads it."""
        return "+".join(map(str, self.steps))

    @property
    def width(self) -> int:
        """How long a list the chain makes use of."""
        return max((step.width for step in self.steps), default=1)

    def __call__(self, ranking: Ranking, context: Context) -> Ranking:
        """Re-rank; see :class:`~perisphere.search.rerank.Reranker`."""
        road = ranking.road
        for step in self.steps:
            if isinstance(step, Mover):
                moved = step.move(ranking, context)
                ranking = ranking if moved is context else step.again(ranking, moved)
                context = moved
            else:
                ranking = step(ranking, context)
            road = f"{road} + {step}"
        return replace(ranking, road=road)

    def search(self, context: Context, k: int) -> Ranking:
        """Search with the context's queries, as deep as the chain needs, re-rank, and keep ``k`` results."""
        return self(context.search(context.queries, max(k, self.width)), context).first(k)


def parse_chain(text: str) -> Chain:
    """Read a chain: words with ``+`` between them, each with its parameters in brackets.

    Args:
        text: for example ``"aqe(n=10,alpha=3)+kreciprocal"``.

    Raises:
        UsageError: names the word or parameter that is wrong, and the mend.
    """
    return Chain(tuple(_step(part, text) for part in text.split("+")))


def _step(part: str, text: str) -> Reranker:
    found = _STEP.fullmatch(part)
    if found is None:
        raise UsageError(
            f"re-ranking {text!r}: {part.strip()!r} cannot be read. Write it like "
            "aqe(n=10,alpha=3)+kreciprocal."
        )
    word, inner = found.groups()
    if word not in RERANKERS:
        known = list(RERANKERS)
        raise UsageError(
            f"re-ranking {text!r}: there is no {word!r}; use one of {', '.join(known)}.{nearest(word, known)}"
        )
    kind = RERANKERS[word]
    try:
        return kind(**_parameters(word, inner or "", text))
    except ValidationError as error:
        raise UsageError(f"re-ranking {text!r}: {_explain(kind, error)}") from error


def _parameters(word: str, inner: str, text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for part in inner.split(",") if inner.strip() else ():
        found = _VALUE.fullmatch(part)
        if found is None or found[1] in values:
            fault = "cannot be read" if found is None else "is there twice"
            raise UsageError(
                f"re-ranking {text!r}: {part.strip()!r} of {word} {fault}. Write each parameter once, "
                "as name=value, with commas between them."
            )
        values[found[1]] = found[2]
    return values


def _explain(kind: type[Reranker], error: ValidationError) -> str:
    """Turn the first finding into one line: the parameter, its value, the mend."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        known = list(kind.model_fields)
        return f"{kind.name} has no {place!r}; it has {', '.join(known)}.{nearest(place, known)}"
    if first["type"] == "value_error":
        return f"{kind.name}: {first['ctx']['error']}"
    return f"{kind.name}: {place}={first['input']}: {first['msg'].lower().removeprefix('input ')}."
