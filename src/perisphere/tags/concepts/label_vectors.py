"""The concepts of photos as rows of zeros and ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perisphere.errors import PerisphereError, nearest


@dataclass(frozen=True)
class LabelVectors:
    """What each photo shows; see Wu et al., "Towers of Babel", ICCV 2021, section 5.

    Attributes:
        classes: names of the columns.
        related: bool ``[n, classes]``, every concept of a photo.
        primary: bool ``[n, classes]``, its first concept alone; nothing where it has none.
    """

    classes: tuple[str, ...]
    related: NDArray[np.bool_]
    primary: NDArray[np.bool_]


def label_vectors(concepts: Sequence[Sequence[str]], classes: Sequence[str]) -> LabelVectors:
    """Return the concepts of photos as vectors.

    Args:
        concepts: of each photo, the primary one first, as a catalog's column ``concepts``.
        classes: the columns, each once.

    Raises:
        PerisphereError: a photo has a concept that is no class, or a class is there twice.
    """
    column = {name: place for place, name in enumerate(classes)}
    if len(column) < len(classes):
        raise PerisphereError(f"classes {', '.join(classes)}: one is there twice. Name each once.")
    strange = next((name for names in concepts for name in names if name not in column), None)
    if strange is not None:
        hint = nearest(strange, list(column))
        raise PerisphereError(f"concept {strange!r} is none of the classes {', '.join(column)}.{hint}")
    related = np.zeros((len(concepts), len(column)), bool)
    primary = np.zeros_like(related)
    for row, names in enumerate(concepts):
        related[row, [column[name] for name in names]] = True
        primary[row, [column[name] for name in names[:1]]] = True
    return LabelVectors(tuple(classes), related, primary)
