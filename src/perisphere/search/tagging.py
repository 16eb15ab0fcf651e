"""The tags of a picture: those that lie nearest to it on the sphere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perisphere.catalog.images import display
from perisphere.errors import PerisphereError, UsageError
from perisphere.progress import bar
from perisphere.search.ingredients import Source
from perisphere.tags import Tags

if TYPE_CHECKING:
    from perisphere.encoder import Encoder

BLOCK = 256
"""Pictures that are embedded before their vectors are let go."""


@dataclass(frozen=True)
class Tagging:
    """A picture and its nearest tags.

    Attributes:
        image: the picture.
        tags: name and cosine of each, nearest first.
    """

    image: Source
    tags: tuple[tuple[str, float], ...]

    @property
    def name(self) -> str:
        """The printable name of the picture."""
        return display(self.image)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {"image": self.name, "tags": [{"tag": tag, "score": score} for tag, score in self.tags]}


def tag_images(
    encoder: "Encoder",
    images: Sequence[Source],
    k: int = 10,
    *,
    tags: Tags | None = None,
    min_score: float | None = None,
) -> list[Tagging]:
    """Name the ``k`` tags whose vectors are nearest to each picture.

    Args:
        encoder: what embeds the pictures.
        images: files, open pictures or uint8 RGB arrays ``[h, w, 3]``.
        k: how many tags a picture, at most.
        tags: in the space of the encoder; by default those that it was trained towards.
        min_score: leave out tags whose cosine is lower.

    Raises:
        ImageError: a picture cannot be read.
        PerisphereError: the encoder knows no tags, or ``tags`` lie in another space.
        UsageError: ``k`` is below 1.
    """
    if k < 1:
        raise UsageError(f"k is {k}: ask for at least one tag.")
    known = _in_space(encoder, tags)
    found: list[Tagging] = []
    with bar("tagging", len(images), "pictures") as advance:
        for start in range(0, len(images), BLOCK):
            block = images[start : start + BLOCK]
            rows, scores = known.neighbours(encoder.encode(block), k)
            for image, row, score in zip(block, rows.tolist(), scores.tolist(), strict=True):
                pairs = zip((known.names[tag] for tag in row), score, strict=True)
                kept = tuple(pair for pair in pairs if min_score is None or pair[1] >= min_score)
                found.append(Tagging(image, kept))
            advance(len(block))
    return found


def _in_space(encoder: "Encoder", given: Tags | None) -> Tags:
    tags = encoder.tags if given is None else given
    if tags is None:
        raise PerisphereError(
            f"the encoder {encoder.name!r} knows no tags. Pass those that it was trained towards with "
            "--tags FOLDER, or train it with method: quantization."
        )
    if tags.dim != encoder.dim:
        raise PerisphereError(
            f"the tags have vectors of {tags.dim} numbers, and the encoder {encoder.name!r} gives "
            f"{encoder.dim}. Pass the tags that it was trained towards."
        )
    return tags
