"""The encoder in a folder that made given vectors: in float32, or one of its models of 8 bits."""

from pathlib import Path

from perisphere.encoder.encoder import Encoder
from perisphere.encoder.runtimes.names import ENGINES
from perisphere.errors import PerisphereError


def load_identified(folder: Path, identity: str | None) -> Encoder:
    """Return the encoder of a folder, with the model of 8 bits that has this identity where one has.

    Raises:
        PerisphereError: no encoder lies there, or it is damaged.
    """
    loaded = Encoder.load(folder)
    if identity in (None, loaded.identity) or loaded.int8 is not None:
        return loaded
    for engine in ENGINES:
        try:
            quantised = loaded.on(engine, int8=True)
        except PerisphereError:  # there is none, or it is damaged and made no vectors
            continue
        if quantised.identity == identity:
            return quantised
    return loaded
