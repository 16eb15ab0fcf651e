"""Small galleries with classes, for the tests of the re-rankers."""

import numpy as np

from perisphere.index.ranking import Ranking
from perisphere.search.rerank import ArrayGallery, Context
from perisphere.sphere import normalise


def clustered(
    classes: int = 6, each: int = 8, dim: int = 12, noise: float = 0.8, seed: int = 0
) -> tuple[np.ndarray, list[str]]:
    """Unit rows around one centre a class, and their labels."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(classes, dim))
    rows = np.repeat(centres, each, axis=0) + noise * random.normal(size=(classes * each, dim))
    return normalise(rows), [f"class {place // each}" for place in range(classes * each)]


def searched(
    queries: int = 5, k: int = 20, seed: int = 0, metric: str = "cosine", **options: float
) -> tuple[Ranking, Context]:
    """A search of some rows in the gallery of all others."""
    vectors, labels = clustered(seed=seed, **options)
    order = np.random.default_rng(seed).permutation(len(vectors))
    asked, rest = order[:queries], order[queries:]
    gallery = ArrayGallery(vectors[rest], metric, labels=[labels[place] for place in rest])
    context = Context(gallery, vectors[asked])
    return context.search(context.queries, k), context


def contents(ranking: Ranking) -> list[set[int]]:
    return [set(ids) for ids in ranking.ids.tolist()]
