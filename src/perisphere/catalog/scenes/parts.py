"""The names of what a pixel can show: the legend of every part mask."""

PARTS = (
    "sky",
    "ground",
    "water",
    "background",
    "tree",
    "person",
    "facade",
    "tower",
    "spire",
    "dome",
    "drum",
    "portal",
    "window",
    "rose",
    "nave",
    "roof",
    "choir",
    "chapel",
    "buttress",
    "column",
    "pediment",
    "cornice",
    "statue",
    "minaret",
    "wall",
    "battlement",
    "keep",
    "stairs",
    "arch",
    "balcony",
    "clock",
    "lantern",
    "floor",
    "vault",
    "organ",
    "altar",
)
"""Part names; the position is the value in a mask. New ones go to the end, so that old masks stay valid."""

EXTERIOR = PARTS[: PARTS.index("organ")]
"""The parts of landmarks that are seen from outside only: the legend of most layouts."""
PART_ID = {name: number for number, name in enumerate(PARTS)}
SURROUNDINGS = frozenset({"sky", "ground", "water", "background", "tree", "person"})
"""Parts that belong to no landmark."""
