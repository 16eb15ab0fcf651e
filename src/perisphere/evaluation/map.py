"""A map of the embedding: photos that are alike lie near each other on a plane."""

import colorsys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from perisphere.catalog.images import ImageError, decode
from perisphere.errors import PerisphereError, UsageError
from perisphere.evaluation.points import Points, file_of
from perisphere.progress import track
from perisphere.search.sheet import sheet_format
from perisphere.sphere.geometry import normalise
from perisphere.storage import whole_file

Method = Literal["tsne", "pca"]
Colour = tuple[int, int, int]

LIMIT, SIDE, THUMBNAIL, SEED = 2000, 2400, 72, 0
COMPONENTS = 50
"""Directions of most variance that t-SNE works on (van der Maaten and Hinton 2008 take 30)."""

NAMED = 60
"""Most labels that are written into the map; more would hide the photos."""

PAPER: Colour = (255, 255, 255)
INK: Colour = (33, 37, 41)
NO_LABEL: Colour = (150, 156, 162)
MARGIN, FRAME, DOT = 60, 3, 5


def draw_map(
    points: Points,
    path: Path,
    *,
    method: Method = "tsne",
    limit: int = LIMIT,
    side: int = SIDE,
    thumbnail: int = THUMBNAIL,
    seed: int = SEED,
) -> Path:
    """Draw the photos where their vectors lie, framed in the colour of their label.

    A photo that would cover another one is a dot of its colour. A label stands at the middle of its photos.

    Args:
        points: vectors with the places of their photos.
        path: of the picture, ``.jpg`` or ``.png``.
        method: what makes two numbers of a vector: ``tsne``, which keeps neighbours together, or ``pca``,
            which keeps large distances.
        limit: photos shown at most; of more, as many are drawn at random.
        side: of the map in pixels.
        thumbnail: longer side of a photo in pixels.
        seed: of the draw and of t-SNE.

    Raises:
        UsageError: an option that makes no map.
        PerisphereError: no vectors, scikit-learn is missing, or the file cannot be written.
    """
    format = sheet_format(Path(path))
    if limit < 1 or not 8 <= thumbnail <= side // 4 or side > 20_000:
        raise UsageError(
            f"a map of {limit} photos of {thumbnail} pixels on {side}: at least 1 photo, at least 8 pixels "
            "each, at most a quarter of the side, and a side of at most 20,000."
        )
    if not len(points):
        raise PerisphereError(f"{points.source}: holds no vectors, so there is nothing to map.")
    rng = np.random.default_rng(seed)
    shown = points.take(np.sort(rng.permutation(len(points))[:limit]))
    inner = side - 2 * MARGIN - thumbnail
    places = MARGIN + thumbnail / 2 + inner * flatten(shown.vectors, method, seed)
    sheet = Image.new("RGB", (side, side), PAPER)
    _photos(sheet, shown, places, thumbnail, rng.permutation(len(shown)))
    _names(sheet, shown.labels, places)
    with whole_file(Path(path)) as part:
        sheet.save(part, format=format, quality=92, optimize=True)
    return Path(path)


def flatten(vectors: NDArray, method: Method = "tsne", seed: int = SEED) -> NDArray[np.float64]:
    """Return a place in the unit square for each vector ``[n, d]``: float64 ``[n, 2]``, centred, to scale.

    Args:
        vectors: only their directions count.
        method: ``tsne`` (scikit-learn's) or ``pca``.
        seed: of t-SNE.

    Raises:
        UsageError: the method is unknown.
        PerisphereError: scikit-learn is not installed.
    """
    if method not in get_args(Method):
        raise UsageError(f"method {method!r} is unknown; use one of {', '.join(get_args(Method))}.")
    unit = normalise(vectors)
    # Neighbours of four images mean nothing, and t-SNE refuses them.
    plane = _tsne(_main_directions(unit, COMPONENTS), seed) if method == "tsne" and len(unit) > 4 else unit
    plane = _main_directions(plane, 2)
    low, high = plane.min(axis=0), plane.max(axis=0)
    extent = (high - low).max() or 1.0
    return 0.5 + (plane - (low + high) / 2) / extent


def _main_directions(vectors: NDArray, count: int) -> NDArray[np.float64]:
    """Return coordinates along the directions of most variance, ``[n, count]``; 0 where there are fewer."""
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    left, spread, _ = np.linalg.svd(centred, full_matrices=False)
    found = left[:, :count] * spread[:count]
    # A direction has no sign of its own: the farthest point lies on the positive side.
    farthest = np.take_along_axis(found, np.abs(found).argmax(axis=0)[None], axis=0)
    found = found * np.where(farthest < 0, -1, 1)
    return np.pad(found, ((0, 0), (0, count - found.shape[1])))


def _tsne(vectors: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise PerisphereError(
            "t-SNE needs scikit-learn, which is not installed; run `pip install 'perisphere[map]'`, "
            "or draw the map with --method pca."
        ) from error
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    found = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors)
    return np.asarray(found, np.float64)


def _photos(
    sheet: Image.Image, shown: Points, places: NDArray, thumbnail: int, order: NDArray[np.int64]
) -> None:
    """Paste each photo unless one lies there already; then the dots of those that found no room."""
    colours = _colours(shown.labels)
    taken = np.empty((0, 2))
    dots = []
    for row in track(order.tolist(), "drawing", unit="photos"):
        if len(taken) and np.abs(taken - places[row]).max(axis=1).min() < thumbnail + FRAME:
            dots.append(row)
            continue
        photo = _thumbnail(shown.rows.row(row, named=True), thumbnail)
        if photo is None:
            dots.append(row)
            continue
        taken = np.vstack([taken, places[row]])
        _paste(sheet, photo, places[row], colours[row])
    draw = ImageDraw.Draw(sheet)
    for row in dots:
        x, y = places[row]
        draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), fill=colours[row], outline=PAPER)


def _paste(sheet: Image.Image, photo: Image.Image, place: NDArray, colour: Colour) -> None:
    x, y = round(place[0] - photo.width / 2), round(place[1] - photo.height / 2)
    frame = (x - FRAME, y - FRAME, x + photo.width + FRAME - 1, y + photo.height + FRAME - 1)
    ImageDraw.Draw(sheet).rectangle(frame, fill=colour)
    sheet.paste(photo, (x, y))


def _thumbnail(row: dict[str, Any], side: int) -> Image.Image | None:
    """Return the photo of a row, small; ``None`` where the file is gone or cannot be read."""
    file = file_of(row)
    if file is None:
        return None
    try:
        photo = Image.fromarray(decode(file, at_least=side))
    except ImageError:
        return None
    photo.thumbnail((side, side), Image.Resampling.LANCZOS)
    return photo


def _names(sheet: Image.Image, labels: Sequence[str | None], places: NDArray) -> None:
    """Write each label at the median of its photos."""
    known = sorted({label for label in labels if label is not None})
    if len(known) > NAMED:
        return
    draw, font = ImageDraw.Draw(sheet), _font(max(14, sheet.width // 90))
    of = np.array([label if label is not None else "" for label in labels])
    for label in known:
        x, y = np.median(places[of == label], axis=0)
        text = "".join(character if character.isprintable() else " " for character in label)
        half = font.getlength(text) / 2
        x = min(max(x, half + 6), sheet.width - half - 6)
        draw.text((x, y), text, font=font, fill=INK, anchor="mm", stroke_width=4, stroke_fill=PAPER)


def _colours(labels: Sequence[str | None]) -> list[Colour]:
    """Return a colour a photo: hues a golden angle apart, so that few labels differ much, many a little."""
    known = {label: place for place, label in enumerate(sorted({label for label in labels if label}))}
    return [NO_LABEL if label not in known else _hue(known[label]) for label in labels]


def _hue(place: int) -> Colour:
    red, green, blue = colorsys.hls_to_rgb(0.55 + place * 0.618034, 0.45 if place % 2 else 0.55, 0.6)
    return round(255 * red), round(255 * green), round(255 * blue)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf"), size)
