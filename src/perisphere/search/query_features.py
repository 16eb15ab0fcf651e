"""Features of query photos, kept beside the results until these are whole."""

import shutil
from pathlib import Path
from typing import Any

from perisphere.encoder import Encoder
from perisphere.encoder.embed_folder import embed_folder, photos_in
from perisphere.encoder.embedding_loop import Photos
from perisphere.encoder.features import Features
from perisphere.errors import PerisphereError


def query_features(source: Path, encoder: Encoder, out: Path, **options: Any) -> Features:
    """Embed the photos below ``source``, or take what a killed run had embedded of the same ones.

    Args:
        source: a folder of photos or a single photo.
        encoder: what embeds them.
        out: the folder of results that they are for.
        **options: of :func:`~perisphere.encoder.embed_folder.embed_folder`.
    """
    folder = _folder(out)
    found = _kept(folder)
    if found is not None:
        paths, _ = photos_in(source)
        made = (found.about.get("encoder") or {}).get("identity")
        images = Photos(paths, [None] * len(paths)).fingerprint()
        if made == encoder.identity and found.about.get("images") == images:
            return found
    return embed_folder(source, encoder, folder, overwrite=True, **options)


def forget_features(out: Path) -> None:
    """Delete what :func:`query_features` kept for the results ``out``."""
    shutil.rmtree(_folder(out), ignore_errors=True)


def _kept(folder: Path) -> Features | None:
    try:
        return Features.load(folder)
    except PerisphereError:
        return None


def _folder(out: Path) -> Path:
    out = out.absolute()
    return out.parent / f".{out.name}.queries"
