"""The hashing protocol at full size, on the real labels of NUS-WIDE (269,648 photos) and MIRFlickr (25,000).

    python benchmarks/hashing.py ../shared/data/tag-labels/tag-labels.tar.xz
    python benchmarks/hashing.py tag-labels.tar.xz --queries 500 --bits 32 --collections mirflickr

Two kinds of vectors stand for photos: random ones, whose MAP is what chance gives, and ones derived from the
labels (the mean direction of a photo's concepts, with noise), which rank as a good encoder does. Product
codes of both are judged by the functions of `perisphere evaluate hashing`. In the same run the published way,
the full product of queries with the database and a sort of each row, judges the first queries again: the
figures must be the same, and the times are told beside each other, per query.
"""

import argparse
import io
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from peak import Peak
from perisphere.codes.codebooks import Codebooks
from perisphere.codes.unsupervised import fit
from perisphere.evaluation import Points
from perisphere.evaluation.hashing import judge_hashing
from perisphere.metrics.concepts import matrix_bits
from perisphere.metrics.hashing_figures import hashing_figures
from perisphere.metrics.scoring import FloatScores

COLLECTIONS = ("nuswide", "mirflickr")
TRAINED_ON = 20_000
NOISE = 0.7
BLOCK = 16_384


def nuswide(archive: tarfile.TarFile, queries: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of queries, drawn among the photos with a concept as the field does, and of all others."""
    parts = []
    for name in ("nuswide/labels_train.csv", "nuswide/labels_test.csv"):
        file = archive.extractfile(name)
        table = pl.read_csv(io.BytesIO(file.read()), schema_overrides={"image_id": pl.String})
        parts.append(table.drop("image_id").to_numpy())
    cells = np.concatenate(parts)
    odd = int(((cells != 0) & (cells != 1)).sum())
    print(f"  {odd} of {cells.size:,} cells are neither 0 nor 1 and count as 0")
    has = cells == 1
    asked = np.random.default_rng(seed).choice(np.flatnonzero(has.any(axis=1)), queries, replace=False)
    return has[asked], np.delete(has, asked, axis=0)


def mirflickr(archive: tarfile.TarFile, queries: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the published 1,000 queries (at most) and 20,000 photos of the database."""
    sides = []
    for name in ("test", "database"):
        lines = archive.extractfile(f"splits/mirflickr/{name}.txt").read().decode().splitlines()
        sides.append(np.array([line.split()[1:] for line in lines], np.uint8) == 1)
    return sides[0][:queries], sides[1]


def vectors_of(kind: str, has: np.ndarray, dim: int, seed: int, out: np.ndarray) -> None:
    """Fill ``out`` with unit rows: random, or near the mean direction of each photo's concepts."""
    centres = np.random.default_rng(0).standard_normal((has.shape[1], dim), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    for start in range(0, len(has), BLOCK):
        some = has[start : start + BLOCK]
        rows = rng.standard_normal((len(some), dim), dtype=np.float32) / np.float32(dim**0.5)
        if kind == "labels":
            means = some.astype(np.float32) @ centres / np.maximum(some.sum(axis=1, keepdims=True), 1)
            rows = means.astype(np.float32) + np.float32(NOISE) * rows
        out[start : start + BLOCK] = rows / np.linalg.norm(rows, axis=1, keepdims=True)


def as_points(vectors: np.ndarray, has: np.ndarray, queries: int) -> Points:
    """The queries, then the database, with their concepts as `perisphere embed` keeps them."""
    names = pl.Series([f"{number:02}" for number in range(has.shape[1])])
    row, column = np.nonzero(has)
    pairs = pl.DataFrame({"id": row, "concepts": names[column]}).group_by("id").agg("concepts")
    rows = pl.DataFrame({"id": range(len(has))}).join(pairs, on="id", how="left", maintain_order="left")
    split = ["query"] * queries + ["gallery"] * (len(has) - queries)
    empty = pl.lit(None, pl.String).alias("label")
    rows = rows.with_columns(pl.Series("split", split), pl.col("concepts").fill_null([]), empty)
    return Points(vectors, rows, "label lists")


def published(asked: np.ndarray, shown: np.ndarray, labels: tuple, depth: int) -> tuple[float, float]:
    """MAP@R by the full product and a sort of every row; seconds it took."""
    began = time.perf_counter()
    order = np.argsort(-(asked @ shown.T), axis=1, kind="stable")[:, :depth]
    averages = []
    for query, places in enumerate(order):
        hits = (labels[1][places] & labels[0][query]).sum(axis=1) > 0
        if hits.any():
            precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
            averages.append((precision * hits).sum() / hits.sum())
    return float(np.mean(averages)), time.perf_counter() - began


def beside(vectors: np.ndarray, has: np.ndarray, queries: int, some: int, depth: int) -> Iterator[str]:
    """Tell the published way and ours on the first queries, in turns: best of three each."""
    shown, labels = vectors[queries:], (has[:some], has[queries:])
    times: dict[str, list[float]] = {"published": [], "here": []}
    for _ in range(3):
        theirs, seconds = published(vectors[:some], shown, labels, depth)
        times["published"].append(seconds)
        began = time.perf_counter()
        bits = matrix_bits(labels[0]), matrix_bits(labels[1])
        mine = hashing_figures(FloatScores(vectors[:some], shown), *bits, depths=(depth,))
        times["here"].append(time.perf_counter() - began)
    slow, fast = (min(each) / some * 1000 for each in times.values())
    found = mine.mean_average_precision(depth)
    yield f"    published way, {some} queries: MAP@{depth} {theirs:.6f}, {slow:.2f} ms a query"
    yield f"    here, the same queries:        MAP@{depth} {found:.6f}, {fast:.2f} ms a query"
    yield f"    {slow / fast:.1f} times faster; figures differ by {abs(found - theirs):.1e}"


def judge(points: Points, codebooks: Codebooks, depth: int, ties: str) -> None:
    """Print the figures of one set of codes, with time and memory."""
    began = time.perf_counter()
    with Peak() as peak:
        report = judge_hashing(points, codebooks=codebooks, depths=(depth,), ties=ties)
    took = time.perf_counter() - began
    values = report.values
    for kind in ("float", "asymmetric", "symmetric"):
        found = {
            name.removeprefix(f"{kind} "): value for name, value in values.items() if name.startswith(kind)
        }
        shares = [
            f"{figure} {found[f'{figure}@{depth}']:.4f}" for figure in ("MAP", "strict MAP", "precision")
        ]
        rates = [f"{found[figure]:,.0f} {figure}" for figure in ("bytes an image", "queries a second")]
        print(f"    {kind:10s} {codebooks.bits:2d} bits, ties {ties:8s}:", ", ".join(shares + rates))
    print(f"    R = {depth:,}; encoded and judged in {took:.1f} s, {peak.gib:.2f} GiB beyond the vectors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("labels", type=Path, help="tag-labels.tar.xz")
    parser.add_argument("--collections", nargs="+", default=COLLECTIONS, choices=COLLECTIONS)
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--bits", type=int, nargs="+", default=(8, 32))
    parser.add_argument("--depth", type=int, default=5000)
    parser.add_argument("--published-queries", type=int, default=200, help="judged the published way too")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for collection in options.collections:
        print(collection)
        with tarfile.open(options.labels) as archive:
            asked, shown = globals()[collection](archive, options.queries, options.seed)
        has = np.concatenate([asked, shown])
        print(f"  {len(asked):,} queries, {len(shown):,} photos, {has.shape[1]} concepts, d = {options.dim}")
        for kind in ("random", "labels"):
            print(f"  vectors: {kind}")
            vectors = np.empty((len(has), options.dim), np.float32)
            vectors_of(kind, has, options.dim, options.seed + 1, vectors)
            points = as_points(vectors, has, len(asked))
            for bits in options.bits:
                codebooks = fit(vectors[len(asked) :][:TRAINED_ON], "pq", bits // 8, seed=options.seed)
                for ties in ("database", "expected") if bits == 8 else ("database",):
                    judge(points, codebooks, options.depth, ties)
            some = min(options.published_queries, len(asked))
            for line in beside(vectors, has, len(asked), some, options.depth):
                print(line, flush=True)


if __name__ == "__main__":
    main()
