"""Benchmarks of the index: each prints ratios to named baselines, measured in the same run.

python benchmarks/index.py                     all of them
python benchmarks/index.py search [--rows 300000 --dim 512]
python benchmarks/index.py filter
python benchmarks/index.py open [--rows 100000]
python benchmarks/index.py add [--rows 100000 --dim 256]
python benchmarks/index.py ann [--rows 200000 --dim 256 --recall 0.99]
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from perisphere.index import Index
from perisphere.sphere.engine import faiss

QUERIES = (1, 16, 64, 256)
THRESHOLD = faiss.cvar.distance_compute_blas_threshold
AS_SHIPPED = 128_000


def vectors(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    """Unit rows in clusters, like embeddings of photos: 20 images around each of the centres."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((max(1, rows // 20), dim), dtype=np.float32)
    out = np.empty((rows, dim), dtype=np.float32)
    for start in range(0, rows, 10_000):
        chosen = centres[random.integers(0, len(centres), min(10_000, rows - start))]
        out[start : start + 10_000] = chosen + random.standard_normal(chosen.shape, dtype=np.float32)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    return out


def interleaved(rounds: int, **roads: Callable[[], object]) -> dict[str, float]:
    """Return the median seconds of each road; they take turns, so that a noisy machine hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in roads}
    for _ in range(rounds + 1):
        for name, road in roads.items():
            start = time.perf_counter()
            road()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def verdict(value: float, most: float) -> str:
    """Say whether a figure keeps its limit."""
    return f"(at most {most:g}: {'reached' if value <= most else 'MISSED'})"


def knn(queries: np.ndarray, rows: np.ndarray, k: int, threshold: int) -> np.ndarray:
    faiss.cvar.distance_compute_blas_threshold = threshold
    try:
        return faiss.knn(queries, rows, k, metric=faiss.METRIC_INNER_PRODUCT)[1]
    finally:
        faiss.cvar.distance_compute_blas_threshold = THRESHOLD


def filled(folder: Path, rows: np.ndarray, table: pl.DataFrame | None = None) -> Index:
    index = Index.create(folder / "index", rows.shape[1])
    index.add(rows, table)
    return index


def search(folder: Path, rows: int, dim: int, rounds: int, **_: object) -> None:
    data, asked = vectors(rows, dim), vectors(256, dim, seed=1)
    index = filled(folder, data)
    index.search(asked[:1])
    threads = faiss.omp_get_max_threads()
    print(f"exact search, {rows:,} x {dim}, k = 10, {threads} threads (median of {rounds})")
    for count in QUERIES:
        queries = asked[:count]
        times = interleaved(
            rounds,
            index=lambda queries=queries: index.search(queries, 10),
            knn=lambda queries=queries: knn(queries, data, 10, THRESHOLD),
            shipped=lambda queries=queries: knn(queries, data, 10, AS_SHIPPED),
        )
        same = np.mean(index.search(queries, 10).ids - 1 == knn(queries, data, 10, THRESHOLD))
        print(
            f"  {count:4d} queries: {1e3 * times['index']:8.1f} ms = "
            f"{times['index'] / times['knn']:.2f} x faiss.knn with the threshold set "
            f"{verdict(times['index'] / times['knn'], 1.15)}, "
            f"{times['index'] / times['shipped']:.2f} x FAISS as shipped; same ids {same:.4f}"
        )


def filter_(folder: Path, rows: int, dim: int, rounds: int, **_: object) -> None:
    data, asked = vectors(rows, dim), vectors(256, dim, seed=1)
    random = np.random.default_rng(2)
    shares = {"rare": 0.001, "few": 0.01, "many": 0.3, "most": 0.8}
    draws = random.random((len(shares), rows))
    table = pl.DataFrame(
        {
            "label": np.where(draws[0] < 0.001, "rare", np.where(draws[1] < 0.01, "few", "other")),
            "camera": np.where(draws[2] < 0.3, "many", "other"),
            "split": np.where(draws[3] < 0.8, "most", "other"),
        }
    )
    index = filled(folder, data, table)
    index.search(asked[:1])
    print(f"filtered search, {rows:,} x {dim}, k = 10 (median of {rounds}); baseline: gather + faiss.knn")
    for name, column in (("rare", "label"), ("few", "label"), ("many", "camera"), ("most", "split")):
        places = np.flatnonzero((table[column] == name).to_numpy())
        for count in QUERIES:
            _filtered(index, data, asked[:count], f"{column} == '{name}'", places, rounds)


def _filtered(
    index: Index, data: np.ndarray, queries: np.ndarray, where: str, places: np.ndarray, rounds: int
) -> None:
    def first() -> object:
        index._plans.forget()
        return index.search(queries, 10, where=where)

    times = interleaved(
        rounds,
        first=first,
        again=lambda: index.search(queries, 10, where=where),
        gather=lambda: knn(queries, data[places], 10, THRESHOLD),
    )
    truth = places[knn(queries, data[places], 10, THRESHOLD)]
    found = index.search(queries, 10, where=where)
    recall = np.mean([len(np.intersect1d(a - 1, b)) / 10 for a, b in zip(found.ids, truth, strict=True)])
    print(
        f"  {100 * len(places) / len(data):5.1f} % {len(queries):4d} queries: "
        f"{1e3 * times['again']:7.2f} ms = "
        f"{times['again'] / times['gather']:.2f} x the baseline "
        f"{verdict(times['again'] / times['gather'], 1.3)}, {times['first'] / times['gather']:.2f} x "
        f"with a filter never seen before; recall {recall:.4f}; {found.road}"
    )


def open_(folder: Path, rows: int, dim: int, rounds: int, **_: object) -> None:
    data = vectors(rows, dim)
    filled(folder, data).close()
    size = sum(file.stat().st_size for file in (folder / "index").iterdir())

    def searchable() -> None:
        with Index.open(folder / "index") as index:
            index.search(data[:1], 10)

    np.save(folder / "plain.npy", data)
    times = interleaved(rounds, open=searchable, plain=lambda: np.load(folder / "plain.npy"))
    print(
        f"open and search once, {rows:,} x {dim}: {times['open']:.3f} s {verdict(times['open'], 1)} = "
        f"{times['open'] / times['plain']:.1f} x np.load of the same vectors; "
        f"{size / data.nbytes:.3f} x their bytes, {size / rows:.0f} bytes an image"
    )


def add(folder: Path, rows: int, dim: int, rounds: int, **_: object) -> None:
    data = vectors(rows, dim)
    table = pl.DataFrame(
        {
            "path": [f"{i % 100:03d}/{i:08d}.jpg" for i in range(rows)],
            "label": [f"class {i % 100}" for i in range(rows)],
            "tags": [["red", "old"]] * rows,
            "width": [640] * rows,
            "height": [480] * rows,
        }
    )

    def index() -> None:
        shutil.rmtree(folder / "index", ignore_errors=True)
        filled(folder, data, table).close()

    def plain() -> None:
        np.save(folder / "plain.npy", data)
        with (folder / "plain.npy").open("rb") as file:
            os.fsync(file.fileno())

    times = interleaved(rounds, index=index, plain=plain)
    print(
        f"add {rows:,} x {dim} with their rows, committed: {rows / times['index']:,.0f} vectors/s "
        f"(at least 20,000: {'reached' if rows >= 20_000 * times['index'] else 'MISSED'}) = "
        f"{times['index'] / times['plain']:.1f} x the time of np.save and fsync"
    )


def ann(folder: Path, rows: int, dim: int, rounds: int, recall: float) -> None:
    data, asked = vectors(rows, dim), vectors(256, dim, seed=1)
    asked = data[:: max(1, rows // 256)][:256] + 0.5 / dim**0.5 * asked
    index = Index.create(folder / "index", dim, recall=recall)
    index.add(data)
    start = time.perf_counter()
    index.build()
    built = time.perf_counter() - start
    print(f"approximate search, {rows:,} x {dim}, recall asked {recall}; built in {built:.1f} s")
    print(f"  {index.info()['ann']}")
    for count in QUERIES:
        queries = asked[:count]
        times = interleaved(
            rounds,
            ann=lambda queries=queries: index.search(queries, 10),
            exact=lambda queries=queries: index.search(queries, 10, exact=True),
        )
        found, truth = index.search(queries, 10), index.search(queries, 10, exact=True)
        got = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found.ids, truth.ids, strict=True)])
        print(
            f"  {count:4d} queries: {1e3 * times['ann']:7.2f} ms = "
            f"{times['ann'] / times['exact']:.3f} x exact; recall {got:.4f}; {found.road}"
        )


SIZES = {"search": (300_000, 512), "filter": (300_000, 512), "open": (100_000, 512), "add": (100_000, 256)}
PROGRAMS = {"search": search, "filter": filter_, "open": open_, "add": add, "ann": ann}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="|".join(PROGRAMS))
    parser.add_argument("--rows", type=int)
    parser.add_argument("--dim", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recall", type=float, default=0.99)
    options = parser.parse_args()
    unknown = set(options.what) - set(PROGRAMS)
    if unknown:
        parser.error(f"{unknown.pop()!r} is no benchmark; choose among {', '.join(PROGRAMS)}.")
    for what in options.what or PROGRAMS:
        rows, dim = SIZES.get(what, (200_000, 256))
        with tempfile.TemporaryDirectory() as folder:
            PROGRAMS[what](
                Path(folder),
                rows=options.rows or rows,
                dim=options.dim or dim,
                rounds=options.rounds,
                recall=options.recall,
            )


if __name__ == "__main__":
    main()
