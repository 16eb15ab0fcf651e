"""Writing a whole collection: photos taken in parallel, the folder shown only when it is complete."""

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from perisphere import __version__
from perisphere.catalog.scenes.layouts import LAYOUTS, Layout, Market1501, WikiScenes
from perisphere.catalog.scenes.layouts.taxonomy import taxonomy
from perisphere.catalog.scenes.photo import DIFFICULTIES
from perisphere.errors import PerisphereError, UsageError, nearest
from perisphere.progress import bar
from perisphere.storage import whole_folder

CHUNK = 10
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class ScenesSummary:
    """What was written.

    Attributes:
        folder: of the collection.
        photos_folder: the folder to read.
        layout: its layout.
        landmarks: how many.
        photos: how many, in all.
        size: pixels across.
        seed: of the world.
        difficulty: its name.
        seconds: it took.
    """

    folder: str
    photos_folder: str
    layout: str
    landmarks: int
    photos: int
    size: int
    seed: int
    difficulty: str
    seconds: float


@dataclass(frozen=True)
class _Task:
    """A run of photos of one landmark."""

    layout: Layout
    seed: int
    landmark: int
    first: int
    end: int
    size: int
    difficulty: str


def write_scenes(
    out: Path,
    *,
    layout: str = "folders",
    landmarks: int = 40,
    photos: int = 50,
    size: int = 128,
    seed: int = 0,
    difficulty: str = "normal",
    workers: int = 0,
    truth: bool = True,
    overwrite: bool = False,
    cameras: int | None = None,
    unseen: float | None = None,
) -> ScenesSummary:
    """Generate a collection; the same arguments give the same bytes, whatever ``workers`` is.

    Args:
        out: folder to write; it appears only when everything is in it.
        layout: a key of :data:`perisphere.catalog.scenes.layouts.LAYOUTS`.
        landmarks: number of identities.
        photos: number of photos of each.
        size: pixels across (for market1501 the height; the width is half of it).
        seed: of the world.
        difficulty: easy, normal or hard.
        workers: processes; 0 takes one per core, 1 works in this process.
        truth: also write captions, keypoints and masks.
        overwrite: replace a folder that is there.
        cameras: how many fixed cameras market1501 has; None: 6.
        unseen: share of the landmarks of wikiscenes that no training photo shows; None: 0.25.

    Raises:
        UsageError: an argument is out of range or unknown.
        PerisphereError: ``out`` exists, or the disk refuses.
    """
    out = Path(out)
    _check(layout, difficulty, landmarks=landmarks, photos=photos, size=size, seed=seed, workers=workers)
    if out.is_dir() and not any(out.iterdir()):
        overwrite = True
    start = time.monotonic()
    level = DIFFICULTIES[difficulty]
    with whole_folder(out, overwrite=overwrite) as part:
        written = _layout(layout, part, truth=truth, cameras=cameras, unseen=unseen)
        tasks = [
            _Task(written, seed, roll.landmark, first, min(first + CHUNK, roll.end), size, difficulty)
            for roll in written.rolls(landmarks, photos)
            for first in range(roll.first, roll.end, CHUNK)
        ]
        records = []
        with bar("photographing", sum(task.end - task.first for task in tasks)) as advance:
            for done in _spread(tasks, workers or os.cpu_count() or 1):
                records += done
                advance(len(done))
        shown = {task.landmark: written.build(seed, task.landmark, level.spread) for task in tasks}
        written.finish(list(shown.values()), records)
        asked = [shown[number] for number in range(landmarks)]
        (part / "taxonomy.txt").write_text(taxonomy(asked, written.label), "utf-8")
        made = {"layout": layout, "landmarks": landmarks, "photos": photos, "size": size, "seed": seed}
        made |= {"difficulty": difficulty, "truth": truth, "version": __version__}
        made |= {"cameras": cameras} if cameras is not None else {}
        made |= {"unseen": unseen} if unseen is not None else {}
        (part / "scenes.json").write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    return ScenesSummary(
        folder=str(out),
        photos_folder=str(_layout(layout, out, truth=truth, cameras=cameras, unseen=unseen).photos),
        layout=layout,
        landmarks=landmarks,
        photos=len(records),
        size=size,
        seed=seed,
        difficulty=difficulty,
        seconds=round(time.monotonic() - start, 2),
    )


def _layout(name: str, out: Path, *, truth: bool, cameras: int | None, unseen: float | None) -> Layout:
    """Return the layout called ``name`` at ``out``."""
    if cameras is not None and name != "market1501":
        raise UsageError(f"--cameras: --layout {name} has no fixed cameras; market1501 has.")
    if unseen is not None and name != "wikiscenes":
        raise UsageError(f"--unseen: --layout {name} keeps no landmarks apart; wikiscenes does.")
    if cameras is not None:
        return Market1501(out, truth=truth, cameras=cameras)
    if unseen is not None:
        return WikiScenes(out, truth=truth, unseen=unseen)
    return LAYOUTS[name](out, truth=truth)


def _check(layout: str, difficulty: str, **numbers: int) -> None:
    if layout not in LAYOUTS:
        known = ", ".join(LAYOUTS)
        raise UsageError(f"--layout {layout}: unknown. Known: {known}.{nearest(layout, list(LAYOUTS))}")
    if difficulty not in DIFFICULTIES:
        known = ", ".join(DIFFICULTIES)
        raise UsageError(
            f"--difficulty {difficulty}: unknown. Known: {known}.{nearest(difficulty, list(DIFFICULTIES))}"
        )
    ranges = {
        "landmarks": (1, 100_000),
        "photos": (1, 100_000),
        "size": (16, 2048),
        "seed": (0, 2**63),
        "workers": (0, 512),
    }
    for name, value in numbers.items():
        low, high = ranges[name]
        if not low <= value <= high:
            raise UsageError(f"--{name} {value}: must be from {low} to {high}.")


def _spread(tasks: list[_Task], workers: int) -> Iterator[list[dict[str, object]]]:
    """Do the tasks in order of their photos, in this process or in ``workers`` others."""
    workers = min(workers, len(tasks))
    if workers == 1:
        yield from map(_photograph, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with _single_threaded(), ProcessPoolExecutor(workers, context, initializer=_calm) as pool:
        try:
            yield from pool.map(_photograph, tasks)
        except BrokenProcessPool as error:
            raise PerisphereError(
                "A worker was killed, perhaps for want of memory: lower --workers."
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Children started inside use one thread each: they are as many as there are cores."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _calm() -> None:
    import cv2

    cv2.setNumThreads(1)


def _photograph(task: _Task) -> list[dict[str, object]]:
    shots = (
        task.layout.take(task.seed, task.landmark, k, size=task.size, difficulty=task.difficulty)
        for k in range(task.first, task.end)
    )
    return [task.layout.write(photo) for photo in shots]
