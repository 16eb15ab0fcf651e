"""How far two labellings of the same photos agree, class by class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perisphere.tags.concepts.label_vectors import label_vectors


@dataclass(frozen=True)
class ClassAgreement:
    """Counts of one class.

    Attributes:
        right: photos that both labellings give the class.
        ours: photos that ours gives it.
        published: photos that the published one gives it.
    """

    right: int
    ours: int
    published: int

    @property
    def precision(self) -> float | None:
        """Share of ours that is right; none where ours has no photo."""
        return self.right / self.ours if self.ours else None

    @property
    def recall(self) -> float | None:
        """Share of the published ones that are found; none where there is no photo."""
        return self.right / self.published if self.published else None

    @property
    def f1(self) -> float | None:
        """Twice the right ones over all of both; none where neither has a photo."""
        both = self.ours + self.published
        return 2 * self.right / both if both else None


@dataclass(frozen=True)
class Agreement:
    """Agreement of all photos.

    Attributes:
        photos: number of them.
        same_primary: photos with the same first concept, or with none in both.
        same_concepts: photos with the same concepts in the same order.
        unlabelled: photos that have a published concept and none of ours.
        primary: by class, of first concepts.
        related: by class, of all concepts.
    """

    photos: int
    same_primary: int
    same_concepts: int
    unlabelled: int
    primary: dict[str, ClassAgreement]
    related: dict[str, ClassAgreement]


def agreement(
    ours: Sequence[Sequence[str]], published: Sequence[Sequence[str]], classes: Sequence[str]
) -> Agreement:
    """Return how far labels agree with published ones.

    Args:
        ours: concepts of each photo, the primary one first.
        published: the same, of the same photos.
        classes: every concept that occurs.

    Raises:
        PerisphereError: a concept is none of the classes.
    """
    a, b = label_vectors(ours, classes), label_vectors(published, classes)
    pairs = list(zip(ours, published, strict=True))
    return Agreement(
        photos=len(pairs),
        same_primary=sum(list(one[:1]) == list(other[:1]) for one, other in pairs),
        same_concepts=sum(list(one) == list(other) for one, other in pairs),
        unlabelled=sum(bool(other) and not one for one, other in pairs),
        primary=_by_class(a.primary, b.primary, a.classes),
        related=_by_class(a.related, b.related, a.classes),
    )


def macro(values: dict[str, ClassAgreement], figure: str) -> float | None:
    """Return the mean of ``precision``, ``recall`` or ``f1`` over the classes that have it."""
    found = [value for one in values.values() if (value := getattr(one, figure)) is not None]
    return float(np.mean(found)) if found else None


def _by_class(
    ours: NDArray[np.bool_], published: NDArray[np.bool_], classes: Sequence[str]
) -> dict[str, ClassAgreement]:
    counts = zip(
        classes,
        (ours & published).sum(0).tolist(),
        ours.sum(0).tolist(),
        published.sum(0).tolist(),
        strict=True,
    )
    return {name: ClassAgreement(right, found, true) for name, right, found, true in counts}
