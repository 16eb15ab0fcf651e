"""The picture of a geometric verification: two photos, and lines between the features that agree."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from perisphere.catalog.images import decode
from perisphere.errors import UsageError
from perisphere.search.ingredients import Source, picture_of
from perisphere.search.rerank.geometric import GeometricVerification, Match
from perisphere.search.results import Answer
from perisphere.search.sheet import sheet_format
from perisphere.storage import whole_file

HEIGHT = 420
GAP = 12
CAPTION = 40
MAX_HEIGHT = 60_000

PAPER = (255, 255, 255)
INK = (33, 37, 41)
FADED = (173, 181, 189)
SMOOTH = 4  # bits of a pixel's fraction that OpenCV draws with


def write_matches(
    path: Path, answers: Sequence[Answer], verification: GeometricVerification | None = None
) -> Path:
    """Verify each query with each of its results, and draw the pairs below one another.

    Args:
        path: a ``.jpg`` or ``.png`` file, written whole or not at all.
        answers: the queries and results; classes, several photos together, centroids, and results without a
            file, are left out.
        verification: how to compare; with its defaults where none is given.

    Raises:
        UsageError: another kind of file, no pair to draw, or more than a picture can hold.
        ImageError: a photo cannot be read.
    """
    path, format = Path(path), sheet_format(Path(path))
    verification = verification or GeometricVerification()
    pairs = [
        draw_pair(photo, result.file, verification.match(photo, result.file), title)
        for answer in answers
        for result in answer.results
        for photo in [picture_of(answer.image)]
        if result.file is not None and result.count is None and photo is not None
        for title in [f"{Path(answer.name).name}  and  {result.file.name}"]
    ]
    height = sum(pair.height for pair in pairs) + GAP * (len(pairs) + 1)
    if not pairs or height > MAX_HEIGHT:
        fault = f"{len(pairs)} pairs of photos are too many" if pairs else "there is no pair of photos"
        raise UsageError(f"{path}: {fault} to draw matches of. Choose other photos, or another -k.")
    sheet = Image.new("RGB", (max(pair.width for pair in pairs) + 2 * GAP, height), PAPER)
    top = GAP
    for pair in pairs:
        sheet.paste(pair, (GAP, top))
        top += pair.height + GAP
    with whole_file(path) as part:
        sheet.save(part, format=format, quality=92)
    return path


def draw_pair(
    first: Source, second: Source, match: Match, title: str = "", said: str | None = None
) -> Image.Image:
    """Draw two photos beside one another, each ``HEIGHT`` pixels high, with a line for each inlier.

    Features that look alike and do not agree with the model are grey dots. Each line has a colour of its own
    by its height in the first photo, so that a bundle of parallel lines can be told apart.

    Args:
        first: the left photo.
        second: the right photo.
        match: what :meth:`~perisphere.search.rerank.GeometricVerification.match` returned for them.
        title: stands below, before the counts.
        said: stands in place of the counts.
    """
    left, left_scale = _reduced(decode(first))
    right, right_scale = _reduced(decode(second))
    canvas = np.full((HEIGHT + CAPTION, left.shape[1] + GAP + right.shape[1], 3), 255, np.uint8)
    canvas[:HEIGHT, : left.shape[1]] = left
    canvas[:HEIGHT, left.shape[1] + GAP :] = right
    starts = _moved(match.first, left_scale, 0)
    ends = _moved(match.second, right_scale, left.shape[1] + GAP)
    for points in (starts[~match.inliers], ends[~match.inliers]):
        for point in points:
            _dot(canvas, point, FADED)
    for start, end in zip(starts[match.inliers], ends[match.inliers], strict=True):
        colour = _colour(start[1] / HEIGHT)
        cv2.line(canvas, _fixed(start), _fixed(end), colour, 1, cv2.LINE_AA, SMOOTH)
        _dot(canvas, start, colour)
        _dot(canvas, end, colour)
    picture = Image.fromarray(canvas)
    said = f"{match.count} of {len(match.inliers)} pairs of features agree" if said is None else said
    text = f"{title}    {said}".strip()
    ImageDraw.Draw(picture).text((2, HEIGHT + 10), text, fill=INK, font=ImageFont.load_default(17))
    return picture


def _reduced(photo: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    scale = HEIGHT / photo.shape[0]
    width = max(1, round(photo.shape[1] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(photo, (width, HEIGHT), interpolation=way), np.uint8), scale


def _moved(points: NDArray, scale: float, right: int) -> NDArray[np.float64]:
    """Return points of a photo as points of the canvas; pixel centres lie at whole numbers in both."""
    return (points.astype(np.float64) + 0.5) * scale - 0.5 + [right, 0]


def _fixed(point: NDArray) -> tuple[int, int]:
    x, y = np.round(point * (1 << SMOOTH)).astype(int).tolist()
    return x, y


def _dot(canvas: NDArray[np.uint8], point: NDArray, colour: tuple[int, int, int]) -> None:
    cv2.circle(canvas, _fixed(point), 2 << SMOOTH, colour, -1, cv2.LINE_AA, SMOOTH)


def _colour(height: float) -> tuple[int, int, int]:
    """Return a bright colour from green at the top (0) through blue to red at the bottom (1)."""
    hue = round(60 + 110 * min(max(height, 0.0), 1.0))
    red, green, blue = cv2.cvtColor(np.array([[[hue, 210, 235]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue
