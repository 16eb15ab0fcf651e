"""Tags and codebooks by the path that a person names: their own, or that of an encoder that carries them."""

import json
from pathlib import Path
from typing import Any

from perisphere.codes.codebooks import Codebooks
from perisphere.encoder.companions import Companions
from perisphere.errors import PerisphereError
from perisphere.tags import Tags


def codebooks_at(path: Path) -> Codebooks:
    """Return the codebooks of a ``.npz`` file, or of the folder of an encoder.

    Raises:
        PerisphereError: neither, damaged, or the encoder has no codebooks.
    """
    path = Path(path)
    if not path.is_dir():
        return Codebooks.load(path)
    found = _carried(path, "file of codebooks").codebooks
    if found is None:
        raise PerisphereError(
            f"{path}: this encoder has no codebooks; fit some to its vectors with `perisphere codes fit`."
        )
    return found


def tags_at(path: Path) -> Tags:
    """Return the tags of a folder of tags, or of the folder of an encoder.

    Raises:
        PerisphereError: neither, damaged, or the encoder has no tags.
    """
    path = Path(path)
    if not (path / "encoder.json").is_file():
        return Tags.load(path)
    found = _carried(path, "folder of tags").tags
    if found is None:
        raise PerisphereError(
            f"{path}: this encoder has no tags; train one towards tags (`perisphere train`, method "
            "quantization), or name a folder of `perisphere tags build`."
        )
    return found


def _carried(folder: Path, other: str) -> Companions:
    """Return what an encoder carries, without reading its network."""
    file = folder / "encoder.json"
    try:
        described: Any = json.loads(file.read_text("utf-8", errors="surrogateescape"))
    except OSError as error:
        raise PerisphereError(
            f"{file}: cannot be read ({error.strerror}); name a {other}, or the folder of an encoder."
        ) from error
    except ValueError as error:
        raise PerisphereError(f"{file}: is not JSON ({error}); copy the encoder's folder again.") from error
    if not isinstance(described, dict):
        raise PerisphereError(f"{file}: is damaged; copy the encoder's folder again.")
    return Companions.load(folder, described)
