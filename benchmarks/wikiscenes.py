"""Time and memory of reading WikiScenes: a tree of tiny pictures, and a large file of keypoints.

    python benchmarks/wikiscenes.py tree [--pictures 63000] [--landmarks 99] [--seed 0]
    python benchmarks/wikiscenes.py keypoints [--gigabytes 1] [--pictures 63000] [--seed 0]
    python benchmarks/wikiscenes.py pairs [--pictures 63000] [--points 25000000] [--seed 0]

``tree`` writes a tree in the published form (numbered folders up to four deep, captions, three lists, each
picture a JPEG file of its own) and reads it into a catalog with ``perisphere read``. ``keypoints`` writes a
file ``correspondence.json`` of so many gigabytes beside a tree without photos' pixels, and streams it to
Parquet. ``pairs`` finds the pictures that share at least 10 of so many keypoints. What is written lies in a
temporary folder (``TMPDIR``). Reading runs in a process of its own: time is wall clock and processor time,
memory the highest resident of that process, with the interpreter and its libraries.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import polars as pl

from perisphere.catalog.readers import read
from perisphere.catalog.readers.keypoint_file import stream_keypoints
from perisphere.catalog.shared_points import shared_pairs

TOP = "WikiScenes/cathedrals"
DIFFERENT = 64  # pictures; each is written many times
LISTS = ("train_bench.txt", "val_easy_bench.txt", "val_bench.txt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["tree", "keypoints", "pairs"])
    for name, value in (("pictures", 63_000), ("landmarks", 99), ("points", 25_000_000), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    options = parser.parse_args()
    {"tree": tree, "keypoints": keypoints, "pairs": pairs}[options.what](options)


def tree(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        draw = np.random.default_rng(options.seed)
        start = time.perf_counter()
        write_tree(root, places(options.pictures, options.landmarks, draw), draw)
        size = sum(file.stat().st_size for file in root.rglob("*.jpg"))
        took = time.perf_counter() - start
        print(f"written: {options.pictures:,} pictures, {size / 1e6:.0f} MB, {took:.0f} s")
        measured("read", read_tree, root, Path(folder) / "catalog")


def read_tree(root: Path, out: Path) -> str:
    found = read("wikiscenes", root, out=out)
    return (
        f"{len(found):,} pictures, {len(found.classes)} landmarks, {found.table['split'].count():,} in lists"
    )


def keypoints(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "correspondence.json"
        draw = np.random.default_rng(options.seed)
        names = places(options.pictures, options.landmarks, draw)
        write_keypoints(file, names, int(options.gigabytes * 1e9), draw)
        print(f"written: {file.stat().st_size / 1e9:.2f} GB")
        measured("stream to Parquet", read_keypoints, file, names, Path(folder))


def read_keypoints(file: Path, names: list[str], folder: Path) -> str:
    photos = {name: (number, 200, 150) for number, name in enumerate(names)}
    scratch, remarks = folder / "scratch", {}
    scratch.mkdir()
    stream_keypoints(file, photos, scratch, remarks, str).sink_parquet(folder / "keypoints.parquet")
    assert not remarks
    rows = pl.scan_parquet(folder / "keypoints.parquet").select(pl.len()).collect().item()
    return f"{rows:,} keypoints, {(folder / 'keypoints.parquet').stat().st_size / 1e6:.0f} MB of Parquet"


def pairs(options: argparse.Namespace) -> None:
    measured("pairs", find_pairs, options.pictures, options.points, options.landmarks, options.seed)


def find_pairs(pictures: int, points: int, landmarks: int, seed: int) -> str:
    """Points of a landmark are shown by its pictures alone, each by neighbours in the order of pictures."""
    draw = np.random.default_rng(seed)
    image = np.sort(draw.integers(0, pictures, points))
    landmark = image * landmarks // pictures
    nearby = (image + draw.integers(-8, 9, points)) // 4  # a place that pictures close by see
    point = (landmark * pictures + nearby) * 1_000 + draw.integers(0, 1_000, points)
    table = pl.DataFrame({"image": image, "point": point})
    start = time.perf_counter()
    found = shared_pairs(table, range(pictures))
    took = time.perf_counter() - start
    return f"{points:,} keypoints, {len(found.pairs()):,} pairs of pictures, {took:.1f} s without the drawing"


def places(pictures: int, landmarks: int, draw: np.random.Generator) -> list[str]:
    """Return the ids of pictures: each lies one to four folders below the root of the kind."""
    names = []
    for number in range(pictures):
        below = draw.integers(0, 6, draw.integers(0, 4))
        folders = "/".join(map(str, [number % landmarks, *below]))
        names.append(f"{folders}/pictures/Cathédrale_({number:05}),_view_from_the_west.jpg")
    return names


def write_tree(root: Path, names: list[str], draw: np.random.Generator) -> None:
    pixels = draw.integers(0, 256, (DIFFERENT, 6, 8, 3), dtype=np.uint8)
    tiny = [cv2.imencode(".jpg", cv2.resize(one, (40, 30)))[1].tobytes() for one in pixels]
    pictures: dict[Path, dict[str, object]] = {}
    for number, name in enumerate(names):
        file = root / TOP / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(tiny[number % DIFFERENT])
        caption = f"Cathédrale, détail {number}: " + "a statue above the western portal " * (number % 4)
        entry = {"caption": caption, "url": f"https://commons.wikimedia.org/{number}", "properties": ["fr"]}
        pictures.setdefault(file.parent.parent, {})[file.name] = entry
    top = root / TOP
    for folder in [top, *(path for path in top.rglob("*") if path.is_dir() and path.name != "pictures")]:
        below = [path.name for path in folder.iterdir() if path.is_dir() and path.name != "pictures"]
        pairs = {f"Part {name} of {folder.name}": name for name in below}
        content = {"max_index": len(below), "pairs": pairs, "pictures": pictures.get(folder, {})}
        (folder / "category.json").write_text(json.dumps(content), "utf-8")
    write_lists(root / "data", names)


def write_lists(folder: Path, names: list[str]) -> None:
    """One picture in six stands in a list, as in the published ones."""
    folder.mkdir()
    for place, file in enumerate(LISTS):
        lines = [
            f"{TOP}/{name}:['statue', 'portal']:a caption:Part 1" for name in names[place :: 6 * len(LISTS)]
        ]
        (folder / file).write_text("\n".join(lines), "utf-8")


def write_keypoints(file: Path, names: list[str], size: int, draw: np.random.Generator) -> None:
    """Write keypoints in the form of the published file until it has so many bytes."""
    per_picture = max(1, size // (len(names) * 55))
    with file.open("w", encoding="utf-8") as out:
        out.write("{")
        for number, name in enumerate(names):
            points = draw.integers(0, 30_000_000, per_picture).tolist()
            coordinates = draw.random((per_picture, 2)).tolist()
            content = {str(point): place for point, place in zip(points, coordinates, strict=True)}
            out.write(f"{', ' if number else ''}{json.dumps(name)}: {json.dumps(content)}")
        out.write("}")


def measured(title: str, work: Callable[..., str], *arguments: object) -> None:
    """Run work in a process of its own, and print what it took."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_run, args=(title, work, *arguments))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)


def _run(title: str, work: Callable[..., str], *arguments: object) -> None:
    start, used = time.perf_counter(), time.process_time()
    text = work(*arguments)
    wall, processor = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{title}: {text}; {wall:.1f} s, {processor:.1f} s of processors, {peak:.2f} GiB")


if __name__ == "__main__":
    main()
