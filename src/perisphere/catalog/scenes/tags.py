"""User tags: mostly right, often incomplete, sometimes misspelt or about something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from perisphere.catalog.scenes.parts import SURROUNDINGS

if TYPE_CHECKING:
    from perisphere.catalog.scenes.photo import Photo

_CHATTER = [
    "holiday",
    "2019",
    "canon",
    "travel",
    "europe",
    "me",
    "architecture",
    "summer",
    "instagood",
    "nofilter",
    "weekend",
    "family",
]


def tags(photo: Photo, rng: np.random.Generator) -> tuple[str, ...]:
    """Draw what users would tag: each true word with some chance, chatter, and slips of the keyboard."""
    place, family, style, light = (
        photo.landmark.name.split()[0],
        photo.landmark.family,
        photo.landmark.style,
        photo.light,
    )
    true = [
        (place.lower(), 0.6),
        (family, 0.75),
        (style, 0.4),
        (light, 0.35),
        (photo.landmark.stone, 0.15),
        (photo.view, 0.1),
    ]
    true += [(part, 0.45) for part in photo.visible_parts(0.03) if part not in SURROUNDINGS]
    true += [(part, 0.2) for part in photo.visible_parts(0.03) if part in SURROUNDINGS - {"background"}]
    chosen = [word for word, chance in true if rng.random() < chance]
    chosen += [str(word) for word in rng.choice(_CHATTER, int(rng.poisson(0.9)), replace=False)]
    written = (_slip(word, rng) if rng.random() < 0.06 else word for word in chosen)
    return tuple(dict.fromkeys(written))


def _slip(word: str, rng: np.random.Generator) -> str:
    """Swap two neighbouring letters."""
    if len(word) < 3:
        return word
    k = int(rng.integers(1, len(word) - 1))
    return word[:k] + word[k + 1] + word[k] + word[k + 2 :]
