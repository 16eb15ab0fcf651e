"""What is true of a photo, in the words of :mod:`perisphere.catalog.scenes.words`."""

from perisphere.catalog.scenes.photo import Photo
from perisphere.catalog.scenes.words import WORDS

LEAST = 0.02
"""Share of the picture that a part must cover to be one of the photo's concepts."""
GLIMPSE = 0.01
"""Share from which somebody may mention what most photos show."""

_COLOURS = {
    **dict.fromkeys(("chalk", "marble", "plaster"), "white"),
    **dict.fromkeys(("brick", "rose"), "red"),
    **dict.fromkeys(("ochre", "sandstone", "limestone"), "yellow"),
    "granite": "grey",
}
_BY_DAY = ("noon", "afternoon")


def concepts(photo: Photo) -> tuple[str, ...]:
    """Return what a photo shows that many others do not: the truth of who looks for it.

    These are its family and style, its light where that is no plain daylight, and what covers at least
    :data:`LEAST` of the picture, landmark parts and surroundings; not what most photos show.
    """
    names = [photo.landmark.family, photo.landmark.style, photo.light, *photo.visible_parts(LEAST)]
    return tuple(dict.fromkeys(name for name in names if _kind(name) not in (None, "colour", "common")))


def mentionable(photo: Photo) -> tuple[str, ...]:
    """Return all that a user could rightly write: the concepts, the stone's colour, and what is common."""
    day = ("sunny",) if photo.light in _BY_DAY else ()
    colour = (_COLOURS[photo.landmark.stone],) if photo.light != "night" else ()
    common = [name for name in photo.visible_parts(GLIMPSE) if _kind(name) == "common"]
    return (*concepts(photo), *colour, *day, *common)


def _kind(name: str) -> str | None:
    return WORDS[name].kind if name in WORDS else None
