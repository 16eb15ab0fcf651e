"""The encoder that made an index: what else is searched for must lie in its space."""

from typing import TYPE_CHECKING, Any

from perisphere.errors import PerisphereError
from perisphere.index import Index

if TYPE_CHECKING:
    from perisphere.encoder import Encoder


def the_encoder(index: Index, given: "Encoder | None" = None) -> "Encoder":
    """Return the encoder that made the index: the one in its folder, or ``given`` where it is the same.

    Raises:
        PerisphereError: there is none, or ``given`` maps into another space.
    """
    if given is None:
        kept = index.encoder()
        if kept is None:
            raise PerisphereError(
                f"{index.folder}: holds no encoder, so no image can be searched for. Pass --encoder FOLDER."
            )
        return kept
    known: dict[str, Any] = index.info()["encoder"] or {}
    if known.get("identity") not in (None, given.identity):
        raise PerisphereError(
            f"the encoder {given.name!r} ({given.identity}) did not make {index.folder}; "
            f"{known['identity']} did. Pass that one, or leave --encoder out where the index keeps its own."
        )
    if given.dim != index.dim:
        raise PerisphereError(
            f"the encoder {given.name!r} makes {given.dim} numbers an image, and {index.folder} "
            f"holds {index.dim}. Pass the encoder that made the index."
        )
    return given


def kept_encoder(index: Index, given: "Encoder | None" = None) -> "Encoder | None":
    """Return the same, ``None`` where the index holds none and none is given.

    Raises:
        PerisphereError: ``given`` maps into another space.
    """
    return index.encoder() if given is None else the_encoder(index, given)
