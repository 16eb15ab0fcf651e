"""Where the time of VLAD goes: SIFT should take nearly all of it.

Draws pictures of 640 x 480 as JPEG files, learns a vocabulary, and encodes all pictures from their files. The
share is that of the processor time of all threads, decoding included. The target is at least 85 % for SIFT.

    OMP_NUM_THREADS=1 python benchmarks/vlad.py --images 1000
"""

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import polars as pl
from PIL import Image

from perisphere.catalog import Catalog
from perisphere.codes import VladSpec, vlad
from perisphere.encoder.fit_vlad import fit_vlad

WIDTH, HEIGHT = 640, 480


def picture(seed: int) -> np.ndarray:
    """Draw rectangles over smooth noise: a few thousand key points, of which VLAD keeps the strongest."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    for _ in range(300):
        x, y, w, h = rng.integers(0, (WIDTH, HEIGHT, 60, 60))
        cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), rng.integers(0, 256, 3).tolist(), -1)
    return image


def photos(folder: Path, count: int) -> Catalog:
    names = [f"{number:05}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        Image.fromarray(picture(number)).save(folder / name, quality=90)
    return Catalog(pl.DataFrame({"path": names}), folder)


class Clock:
    """Adds up the processor time of a function, thread by thread, and the rows that it returns."""

    def __init__(self, function) -> None:
        self.function, self.calls = function, []

    def __call__(self, *words, **options):
        """Call the function with the clock on."""
        begun = time.thread_time()
        found = self.function(*words, **options)
        self.calls.append((time.thread_time() - begun, len(found)))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--words", type=int, default=64)
    parser.add_argument("--keypoints", type=int, default=1000)
    words = parser.parse_args()
    cv2.setNumThreads(1)  # SIFT stays in the thread whose time is taken
    with TemporaryDirectory() as folder:
        catalog = photos(Path(folder), words.images)
        begun = time.perf_counter()
        encoder = fit_vlad(catalog, VladSpec(words=words.words, keypoints=words.keypoints))
        learned = time.perf_counter() - begun
        vlad.sift = clock = Clock(vlad.sift)
        begun, busy = time.perf_counter(), time.process_time()
        encoder.encode(catalog.paths())
        seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    sift, rows = (sum(column) for column in zip(*clock.calls, strict=True))
    facts = {
        "images": words.images,
        "words": words.words,
        "descriptors_per_image": round(rows / words.images),
        "seconds_learning": round(learned, 1),
        "seconds_encoding": round(seconds, 1),
        "processor_seconds_encoding": round(busy, 1),
        "sift_share": round(sift / busy, 3),
    }
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
