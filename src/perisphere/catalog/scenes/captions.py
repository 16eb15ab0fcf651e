"""Captions: a sentence that a visitor might write under a photo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from perisphere.catalog.scenes.parts import SURROUNDINGS

if TYPE_CHECKING:
    from perisphere.catalog.scenes.photo import Photo

_VIEW = {
    "front": ("The front of {name}", "{name} seen from the front", "Main façade of {name}"),
    "left": ("{name} from the left", "The left side of {name}"),
    "right": ("{name} from the right", "The right side of {name}"),
    "back": ("{name} from behind", "The back of {name}"),
    "close": ("Close-up of the {part} of {name}", "Detail of {name}: the {part}"),
    "far": ("{name} from afar", "A distant view of {name}"),
    "above": ("{name} from above", "Looking down on {name}"),
}
_LIGHT = {
    "morning": ("in the early morning", "in morning light"),
    "noon": ("at noon", "under a high sun"),
    "afternoon": ("on a sunny afternoon", "in the afternoon"),
    "overcast": ("under a grey sky", "on a cloudy day"),
    "dusk": ("at sunset", "at dusk"),
    "night": ("at night", "by night, lit by lamps"),
}


def caption(photo: Photo, rng: np.random.Generator) -> str:
    """Describe what is seen: the place, the view, the light, sometimes the style and who stands in front."""
    parts = photo.visible_parts()
    own = [part for part in parts if part not in SURROUNDINGS] or ["wall"]
    view = str(rng.choice(_VIEW[photo.view])).format(name=photo.landmark.name, part=own[0])
    words = [view, str(rng.choice(_LIGHT[photo.light]))]
    extra = rng.random()
    if extra < 0.3:
        style, family = photo.landmark.style, photo.landmark.family
        words[0] += f", a {style} {family} of {photo.landmark.stone}" + ","
    elif extra < 0.5 and "person" in photo.visible_parts(0.003):
        words.append("with people in front of it")
    elif extra < 0.7 and "tree" in parts:
        words.append("behind trees")
    return " ".join(words).rstrip(",") + "."
