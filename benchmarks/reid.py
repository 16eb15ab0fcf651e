"""Re-identification at Market-1501's and MSMT17's sizes, beside distances, argsort and a loop over queries.

    python benchmarks/reid.py                        # 3,368 x 15,913 x 2,048, with the loop beside it
    python benchmarks/reid.py --size msmt17          # 11,659 x 82,161 x 2,048: memory and time
    python benchmarks/reid.py --size msmt17 --loop   # the loop, too, on a tenth of the queries

`evaluate reid` is timed whole: sides of the points, distances, ranks, AP, INP and CMC; beside it `evaluate
centroid` with all of its rules. The loop is what re-identification programs commonly do: one matrix of
distances, one argsort, then for each query the matching, the removal by camera, CMC, and an average precision
that divides a hit count by a floating-point place in Python, place after place. NumPy takes 2 us for such a
division of its integer by Python's float, so the same is timed with one division of arrays instead ("lean").
Each contender runs in a process of its own; memory is that beyond the inputs. The floors are the matrix
product and the bytes of the scores, written and read once.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from peak import Peak

if TYPE_CHECKING:
    from perisphere.evaluation import Points

SIZES = {
    "market": {"queries": 3368, "gallery": 15_913, "identities": 751, "cameras": 6},
    "msmt17": {"queries": 11_659, "gallery": 82_161, "identities": 3060, "cameras": 15},
    "tiny": {"queries": 200, "gallery": 2000, "identities": 50, "cameras": 6},
}
TARGETS = {"market": {"times faster": 10.0, "peak GiB": 1.5}, "msmt17": {"peak GiB": 2.0}}
DIM = 2048
LOOP_SHARE = 10
"""At MSMT17's size the loop takes every 10th query, for its matrix of all would not fit a small machine."""


def inputs(size: str, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit rows of identities, queries first: vectors, identities (0 for distractors) and cameras."""
    shape = SIZES[size]
    rng = np.random.default_rng(0)
    n = shape["queries"] + shape["gallery"]
    identities = rng.integers(1, shape["identities"] + 1, n)
    if size == "market":
        identities[rng.choice(np.arange(shape["queries"], n), 2793, replace=False)] = 0
    centres = rng.standard_normal((shape["identities"] + 1, dim), dtype=np.float32)
    vectors = np.empty((n, dim), np.float32)
    for start in range(0, n, 4096):  # in blocks, so that making the inputs sets no memory record
        some = slice(start, start + 4096)
        block = rng.standard_normal(vectors[some].shape, dtype=np.float32)
        block += 0.3 * centres[identities[some]] * (identities[some, None] > 0)
        vectors[some] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return vectors, identities, rng.integers(0, shape["cameras"], n)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def as_points(size: str, dim: int) -> "Points":
    """The inputs with rows of a catalog, as embeddings hold them."""
    from perisphere.evaluation import Points

    vectors, identities, cameras = inputs(size, dim)
    q = SIZES[size]["queries"]
    rows = pl.DataFrame(
        {
            "id": np.arange(len(vectors)),
            "path": [f"{row}.jpg" for row in range(len(vectors))],
            "split": ["query"] * q + ["gallery"] * (len(vectors) - q),
            "label": [f"{identity:04}" for identity in identities],
            "camera": [str(camera) for camera in cameras],
        }
    )
    return Points(vectors, rows)


def floors(vectors: np.ndarray, q: int) -> dict[str, Callable[[], None]]:
    """The matrix product of ``q`` queries and the gallery behind them, and the bytes of the scores."""
    gallery, block = vectors[q:], max(1, 128 * 2**20 // (8 * (len(vectors) - q)))
    out = np.empty((block, len(gallery)), np.float32)

    def product() -> None:
        for start in range(0, q, block):
            some = vectors[start : min(start + block, q)]
            np.matmul(some, gallery.T, out=out[: len(some)])

    def traffic() -> None:
        for start in range(0, q, block):
            np.negative(out[: min(block, q - start)], out=out[: min(block, q - start)])

    return {"product": product, "bytes": traffic}


def perisphere(size: str, dim: int, rounds: int) -> dict:
    from perisphere.evaluation import judge_centroid, judge_reid

    points = as_points(size, dim)
    found = {}

    def photos() -> None:
        found["photos"] = judge_reid(points).report.values

    def centroids() -> None:
        found["centroids"] = judge_centroid(points).report.values

    with Peak() as peak:
        cpu = time.process_time()
        photos()
        cpu = time.process_time() - cpu
    with Peak() as centroid_peak:
        centroids()
    works = {
        "seconds": photos,
        "centroid seconds": centroids,
        **floors(points.vectors, SIZES[size]["queries"]),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {
        **{name: statistics.median(values) for name, values in times.items()},
        "cpu seconds": cpu,
        "peak GiB": peak.gib,
        "centroid peak GiB": centroid_peak.gib,
        "mAP": found["photos"]["mAP"],
        "rank-1": found["photos"]["rank-1"],
        "centroid mAP": found["centroids"]["mAP"],
    }


def loop(size: str, dim: int, rounds: int) -> dict:
    vectors, identities, cameras = inputs(size, dim)
    q = SIZES[size]["queries"]
    step = LOOP_SHARE if size == "msmt17" else 1
    asked = np.arange(0, q, step)
    queries, gallery = vectors[asked], vectors[q:]
    sides = identities[asked], identities[q:], cameras[asked], cameras[q:]
    parts = {}
    with Peak() as peak:
        start = time.perf_counter()
        distances = np.square(queries).sum(1)[:, None] + np.square(gallery).sum(1) - 2 * (queries @ gallery.T)
        parts["distances"] = time.perf_counter() - start
        start = time.perf_counter()
        order = np.argsort(distances, axis=1)
        parts["argsort"] = time.perf_counter() - start
        start = time.perf_counter()
        average, first = judged_one_by_one(order, *sides, by_place)
        parts["loop"] = time.perf_counter() - start
    start = time.perf_counter()
    judged_one_by_one(order, *sides, np.divide)
    lean = sum(parts.values()) - parts["loop"] + time.perf_counter() - start
    return {
        "seconds": sum(parts.values()) * step,
        "lean seconds": lean * step,
        **{name: value * step for name, value in parts.items()},
        "peak GiB": peak.gib,
        "queries": len(asked),
        "mAP": float(np.mean(average)),
        "rank-1": float(np.mean(np.array(first) == 1)),
    }


def by_place(hits: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Divide hit counts by their places, one after another, in Python."""
    return np.array([hit / (before + 1.0) for before, hit in enumerate(hits)])


def judged_one_by_one(
    order: np.ndarray,
    asked: np.ndarray,
    shown: np.ndarray,
    asking: np.ndarray,
    showing: np.ndarray,
    divide: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> tuple[list[float], list[int]]:
    """Average precision and rank of the first right photo, query after query; the CMC curve beside them."""
    average, first, curves = [], [], []
    for query, ranking in enumerate(order):
        same = shown[ranking] == asked[query]
        right = same[~(same & (showing[ranking] == asking[query]))].astype(np.int32)
        if not right.any():
            continue
        hits = right.cumsum()
        curves.append(np.minimum(hits, 1)[:50])
        precision = divide(hits, np.arange(1, len(hits) + 1)) * right
        average.append(float(precision.sum() / right.sum()))
        first.append(int(np.argmax(right)) + 1)
    return average, first


def run(contender: str, options: argparse.Namespace) -> dict:
    """Run one contender in a process of its own."""
    words = [sys.executable, __file__, "--contender", contender, "--size", options.size]
    words += ["--dim", str(options.dim), "--rounds", str(options.rounds)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{contender}: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="market")
    parser.add_argument("--dim", type=int, default=DIM)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", action="store_true", help="run the loop at MSMT17's size, too")
    parser.add_argument("--contender", choices=("perisphere", "loop"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(globals()[options.contender](options.size, options.dim, options.rounds)))
        return
    shape = SIZES[options.size]
    print(f"{shape['queries']:,} queries x {shape['gallery']:,} photos x {options.dim:,} dimensions")
    found = {"perisphere": run("perisphere", options)}
    if options.loop or options.size != "msmt17":
        found["loop"] = run("loop", options)
    for name, figures in found.items():
        print(f"  {name:11}", ", ".join(f"{key} {value:.6g}" for key, value in figures.items()))
    reached = {"peak GiB": found["perisphere"]["peak GiB"]}
    if "loop" in found:
        reached["times faster"] = found["loop"]["seconds"] / found["perisphere"]["seconds"]
        lean = found["loop"]["lean seconds"] / found["perisphere"]["seconds"]
        print(f"  times faster {reached['times faster']:.1f}; than the lean loop {lean:.1f}")
        if found["loop"]["queries"] == shape["queries"]:
            for name in ("mAP", "rank-1"):
                apart = abs(found["loop"][name] - found["perisphere"][name])
                print(f"  {name} apart by {apart:.1e}: {'equal to 1e-6' if apart <= 1e-6 else 'DIFFERS'}")
    for name, target in TARGETS.get(options.size, {}).items():
        good = reached[name] <= target if name.startswith("peak") else reached[name] >= target
        print(f"  {name} {reached[name]:.3g}, to reach {target:g}: {'reached' if good else 'MISSED'}")


if __name__ == "__main__":
    main()
