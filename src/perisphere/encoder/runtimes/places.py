"""Where exported models lie: in the encoder's folder, else in the user's cache."""

import os
from pathlib import Path

from perisphere.encoder.runtimes.names import ENGINES, FOLDER, MANIFEST, model_name


def models_in(encoder: Path) -> list[Path]:
    """Return the folders of the models that lie in an encoder's folder."""
    names = [model_name(engine, int8) for engine in ENGINES for int8 in (False, True)]
    folders = [encoder / FOLDER / name for name in names]
    return [folder for folder in folders if (folder / MANIFEST).is_file()]


def places(encoder: Path | None, identity: str, name: str) -> list[Path]:
    """Return the folders in which a model may lie, the best one first.

    Args:
        encoder: folder of the encoder, if it has one.
        identity: of the encoder in float32.
        name: of the model.
    """
    cached = _cache() / FOLDER / f"{identity}-{name}"
    return [cached] if encoder is None else [encoder / FOLDER / name, cached]


def found(encoder: Path | None, identity: str, name: str) -> Path | None:
    """Return the folder in which a model lies, if any; arguments as in :func:`places`."""
    return next((place for place in places(encoder, identity, name) if (place / MANIFEST).is_file()), None)


def writable(encoder: Path | None, identity: str, name: str) -> Path:
    """Return the best folder that a model can be written to; arguments as in :func:`places`."""
    best, *others = places(encoder, identity, name)
    above = next(folder for folder in best.parents if folder.exists())
    return best if os.access(above, os.W_OK) or not others else others[0]


def _cache() -> Path:
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (chosen if chosen.is_absolute() else Path.home() / ".cache") / "perisphere"
