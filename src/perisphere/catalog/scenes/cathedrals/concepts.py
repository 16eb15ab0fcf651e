"""Which of the ten concepts a part of a cathedral belongs to, outside and inside.

| concept | outside | inside |
|---|---|---|
| facade | the front: its walls, ledges, columns, pediment, clock | |
| window | windows, roses | stained windows, roses |
| chapel | chapels built against the aisles, with their roofs | side chapels: walls, vault, floor, railing |
| organ | | pipes and case |
| nave | | the hall: floor and pews, columns, arches, walls, vault, gallery |
| tower | towers, their spires and pinnacles | |
| choir | the apse and its roof | walls, stalls, steps, floor and vault of choir and apse |
| portal | doors with their mouldings | the west door |
| altar | | high altar and the altars of chapels |
| statue | figures with their plinths | figures with their plinths |

Everything else is background: sky, ground, people, trees, and outside also roofs, domes, buttresses, stairs
and the walls of nave and transept, which nobody calls one of the ten.
"""

import numpy as np

from perisphere.catalog.scenes.parts import PARTS
from perisphere.tags.architecture import AMBIGUOUS, CONCEPTS

_BOTH = {"window": "window", "rose": "window", "chapel": "chapel", "choir": "choir", "portal": "portal"}
_BOTH |= {"statue": "statue", "organ": "organ", "altar": "altar"}
OUTSIDE = _BOTH | dict.fromkeys(("facade", "pediment", "cornice", "column", "wall", "clock"), "facade")
OUTSIDE |= dict.fromkeys(("tower", "spire"), "tower")
"""Part -> concept, seen from outside."""
INSIDE = _BOTH | dict.fromkeys(
    ("nave", "floor", "vault", "column", "arch", "wall", "balcony", "cornice"), "nave"
)
"""Part -> concept, seen from inside."""


def _table(concepts: dict[str, str]) -> np.ndarray:
    return np.array(
        [CONCEPTS.index(concepts[part]) + 1 if part in concepts else 0 for part in PARTS], np.uint8
    )


_TABLES = (_table(OUTSIDE), _table(INSIDE))


def concept_mask(parts: np.ndarray, *, inside: bool, shrink: int) -> np.ndarray:
    """Return the concept of every pixel of a photo.

    Args:
        parts: uint8 ``[s * shrink, s * shrink]``, position in PARTS, finer than the photo.
        inside: whether the photo was taken inside.
        shrink: samples along a pixel.

    Returns:
        uint8 ``[s, s]``: 0 background, ``k + 1`` the ``k``-th concept, 255 a pixel that several share.
    """
    size = len(parts) // shrink
    fine = _TABLES[int(inside)][parts].reshape(size, shrink, size, shrink)
    low, high = fine.min((1, 3)), fine.max((1, 3))
    return np.where(low == high, low, AMBIGUOUS).astype(np.uint8)
