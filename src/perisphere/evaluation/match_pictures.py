"""Pictures of matched points, some pairs of photos drawn by lot."""

from pathlib import Path

import numpy as np

from perisphere.catalog import decode
from perisphere.catalog.match_picture import match_picture
from perisphere.errors import PerisphereError
from perisphere.evaluation.correspondence import SHARES, JudgedCorrespondence
from perisphere.metrics.correspondence import within
from perisphere.storage import whole_file

LINES = 24
"""Points of a pair that are drawn, at most."""


def draw_matches(judged: JudgedCorrespondence, folder: Path, count: int = 12, seed: int = 0) -> list[Path]:
    """Draw pairs of photos with their points where they were found: green within 10 %, red beyond.

    Args:
        judged: what was found.
        folder: where ``01.jpg`` and so on are written; other files in it stay.
        count: pairs, at most.
        seed: of the lot.

    Raises:
        PerisphereError: a photo cannot be read any more, or the disk refuses.
    """
    rng = np.random.default_rng(seed)
    forward = judged.matched[::2]  # one direction of each pair
    chosen = rng.choice(len(forward), min(count, len(forward)), replace=False)
    paths = judged.photos.paths()
    files = []
    for number, place in enumerate(np.sort(chosen), 1):
        one = forward[place]
        some = rng.choice(len(one.points), min(LINES, len(one.points)), replace=False)
        sizes = np.repeat(one.sizes[1:], len(one.points), axis=0)
        right = within(one.found, one.true, sizes, SHARES[-1])
        caption = f"{right.sum()} of {len(right)} points within {100 * SHARES[-1]:.0f} %"
        photos = decode(paths[one.photos[0]]), decode(paths[one.photos[1]])
        drawn = match_picture(photos, (one.points[some], one.found[some]), right[some], caption)
        file = folder / f"{number:02d}.jpg"
        with whole_file(file) as part:
            drawn.save(part, "JPEG", quality=90)
        files.append(file)
    return files


def check_folder(folder: Path) -> None:
    """Refuse a name that is a file's, before the work."""
    if folder.exists() and not folder.is_dir():
        raise PerisphereError(f"{folder}: is no folder; name one for the pictures.")
