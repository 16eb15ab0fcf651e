"""The parts of a landmark that are told apart in photos of it.

Source: Wu et al., "Towers of Babel", ICCV 2021.
"""

CONCEPTS = (
    "facade",
    "window",
    "chapel",
    "organ",
    "nave",
    "tower",
    "choir",
    "portal",
    "altar",
    "statue",
)
"""In the order of the published labels: in a mask, 0 is background and ``k + 1`` is the ``k``-th of these."""

AMBIGUOUS = 255
"""Value of a mask's pixels that nobody can tell, which no figure counts."""
