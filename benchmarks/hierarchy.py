"""Hierarchical precision, its area and average precision: time and memory beside a loop over the queries.

    python benchmarks/hierarchy.py --taxonomy cifar.parent-child.txt    # its leaves are the classes
    python benchmarks/hierarchy.py                                      # a drawn tree of 8, 20 and 100 nodes

Every image asks for all others: HP@1..250 and AHP@250 by WUP and LCS height, and AP. The loop re-expresses
the published algorithm in plain Python: a full sort of each row of distances, similarities of classes from
dictionaries, a sum for each k, scikit-learn's average precision. It takes minutes for 10,000 queries, so that
it runs on some of them (--some) and its time is scaled to all; the figures of these queries must agree.
Each contender runs in a process of its own, so that one's memory is not counted for another.

Two floors stand beside the times, for q queries, n images and d dimensions: the matrix product alone
(2 q n d operations), and writing and reading each score once (16 q n bytes), both measured here, in float64.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from peak import Peak

CLASSES = 100
DEPTH = 250
MOST = {"peak_gib": 1.5, "difference": 1e-6}
TIMES_AS_FAST = 15


def drawn_tree(rng: np.random.Generator) -> list[tuple[int, int]]:
    """Draw a tree of 100 leaves below 20 below 8, ids from 100 on for inner nodes."""
    pairs = [(200, 120 + group) for group in range(8)]
    pairs += [(120 + int(rng.integers(8)) if group >= 8 else 120 + group, 100 + group) for group in range(20)]
    return pairs + [(100 + leaf % 20, leaf) for leaf in range(CLASSES)]


def inputs(options: argparse.Namespace):
    """Return a taxonomy, the class of each image, and noisy vectors around a point for each class."""
    from perisphere.taxonomy import Taxonomy

    rng = np.random.default_rng(0)
    if options.taxonomy:
        taxonomy = Taxonomy.load(options.taxonomy)
    else:
        taxonomy = Taxonomy.from_pairs(drawn_tree(rng))
    leaves = list(taxonomy.leaves)
    labels = [leaves[place] for place in rng.integers(0, len(leaves), options.images)]
    points = {leaf: rng.standard_normal(options.dim) for leaf in leaves}
    vectors = np.stack([points[label] for label in labels]) + 2 * rng.standard_normal(
        (options.images, options.dim)
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return taxonomy, labels, vectors.astype(np.float32)


def points_of(options: argparse.Namespace):
    import polars as pl

    from perisphere.evaluation import Points

    taxonomy, labels, vectors = inputs(options)
    rows = pl.DataFrame(
        {
            "id": range(len(labels)),
            "split": ["some" if row < options.some else "others" for row in range(len(labels))],
            "label": [str(label) for label in labels],
        }
    )
    return taxonomy, Points(vectors, rows)


def figures_of(report) -> dict[str, float | list[float]]:
    kept = {name: value for name, value in report.values.items() if name == "mAP" or "AHP" in name}
    return kept | report.curves


def perisphere(options: argparse.Namespace) -> dict:
    from perisphere.evaluation.hierarchy import judge_hierarchy

    taxonomy, points = points_of(options)
    judge_hierarchy(points.of_split(["some"]), taxonomy)  # whatever is done once
    times = []
    with Peak() as peak:
        for _ in range(options.rounds):
            start = time.perf_counter()
            judge_hierarchy(points, taxonomy, metric="l2")
            times.append(time.perf_counter() - start)
    some = judge_hierarchy(points, taxonomy, metric="l2", query=["some"], gallery=["some", "others"])
    return {"seconds": min(times), "peak_gib": peak.gib, "figures": figures_of(some.report)}


def floors(options: argparse.Namespace) -> dict:
    """Measure the product alone, and writing and reading every score, in blocks of 64 MiB."""
    _, _, vectors = inputs(options)
    size = max(1, 2**23 // len(vectors))
    vectors = vectors.astype(np.float64)
    out = np.zeros((size, len(vectors)))
    start = time.perf_counter()
    for first in range(0, len(vectors), size):
        some = vectors[first : first + size]
        np.matmul(some, vectors.T, out=out[: len(some)])
    product = time.perf_counter() - start
    start = time.perf_counter()
    for first in range(0, len(vectors), size):
        rows = out[: len(vectors[first : first + size])]
        rows.fill(first)
        rows.max()
    return {"product_seconds": product, "bytes_seconds": time.perf_counter() - start}


def loop(options: argparse.Namespace) -> dict:
    import sklearn.metrics  # noqa: F401  (takes seconds, which are no query's)

    taxonomy, labels, vectors = inputs(options)
    similar = pair_tables(taxonomy, sorted(set(labels)))
    best: dict = {}
    found: dict[str, list] = {"mAP": [], **{f"HP ({kind})": [] for kind in similar}}
    start = time.perf_counter()
    for query, order in rankings(vectors, options.some):
        one_query(query, order, labels, similar, best, found)
    seconds = time.perf_counter() - start
    figures: dict[str, float | list[float]] = {"mAP": float(np.mean(found["mAP"]))}
    for kind in similar:
        curves = np.array(found[f"HP ({kind})"])
        figures[f"HP ({kind})"] = curves.mean(axis=0).tolist()
        figures[f"mAHP@{DEPTH} ({kind})"] = float(np.trapezoid(curves, dx=1 / DEPTH, axis=1).mean())
    scaled = seconds * options.images / options.some
    return {"seconds": scaled, "ms_a_query": 1e3 * seconds / options.some, "figures": figures}


def pair_tables(taxonomy, classes: list) -> dict[str, dict]:
    from perisphere.taxonomy import similarities

    tables = {}
    for kind, name in (("LCS height", "lcs_height"), ("WUP", "wup")):
        table = similarities(taxonomy, classes, name)
        tables[kind] = {
            (a, b): float(table[i, j]) for i, a in enumerate(classes) for j, b in enumerate(classes)
        }
    return tables


def rankings(vectors: np.ndarray, some: int) -> Iterator[tuple[int, list[int]]]:
    vectors = vectors.astype(np.float64)  # so that no rounding decides between two images
    squares = (vectors**2).sum(axis=1)
    for first in range(0, some, 500):
        rows = vectors[first : min(first + 500, some)]
        distances = squares[first : first + len(rows), None] + squares - 2 * rows @ vectors.T
        for place, row in enumerate(np.argsort(distances, axis=1)):
            yield first + place, row.tolist()


def one_query(query: int, order: list[int], labels: list, similar: dict, best: dict, found: dict) -> None:
    """Judge one ranking with the query in it, a list of images at a time."""
    from sklearn.metrics import average_precision_score

    of = labels[query]
    place = order.index(query)
    for kind, table in similar.items():
        if (kind, of) not in best:
            best[kind, of] = np.cumsum(sorted((table[of, labels[image]] for image in order), reverse=True))
        gained = [table[of, labels[image]] for image in order[: DEPTH + 1]]
        most = best[kind, of]
        if place < len(gained):
            del gained[place]
            most = np.concatenate([most[:place], most[place + 1 :] - 1.0])
        found[f"HP ({kind})"].append([sum(gained[:k]) / most[k - 1] for k in range(1, DEPTH + 1)])
    right = [labels[image] == of for image in order if image != query]
    found["mAP"].append(average_precision_score(right, [-rank for rank in range(len(right))]))


def run(contender: str, options: argparse.Namespace) -> dict:
    """Run one contender in a process of its own."""
    words = [sys.executable, __file__, "--contender", contender]
    for name in ("images", "dim", "some", "rounds"):
        words += [f"--{name}", str(getattr(options, name))]
    words += ["--taxonomy", str(options.taxonomy)] if options.taxonomy else []
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def difference(ours: dict, theirs: dict) -> float:
    """Return the largest difference of any figure; every figure of the loop must be among ours."""
    return max(float(np.abs(np.subtract(ours[name], theirs[name])).max()) for name in theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--taxonomy", type=Path, help="lines PARENT CHILD; default: a drawn tree")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--some", type=int, default=500, help="queries of the loop")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contender", choices=("perisphere", "loop", "floors"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(globals()[options.contender](options)))
        return
    print(f"{options.images:,} queries x {options.images:,} images x {options.dim} dimensions")
    found = {name: run(name, options) for name in ("loop", "perisphere", "floors")}
    show(found["loop"], found["perisphere"], found["floors"], options)


def show(theirs: dict, ours: dict, least: dict, options: argparse.Namespace) -> None:
    a_query = f"{theirs['ms_a_query']:.2f} ms a query, scaled from {options.some}"
    print(f"  loop                {theirs['seconds']:8.2f} s ({a_query})")
    print(f"  perisphere          {ours['seconds']:8.2f} s (the fastest of {options.rounds})")
    print(f"  product alone       {least['product_seconds']:8.2f} s")
    print(f"  bytes of the scores {least['bytes_seconds']:8.2f} s")
    faster = theirs["seconds"] / ours["seconds"]
    print(f"  times as fast {faster:.1f}, at least {TIMES_AS_FAST}: {word(faster >= TIMES_AS_FAST)}")
    reached = {"peak_gib": ours["peak_gib"], "difference": difference(ours["figures"], theirs["figures"])}
    for name, most in MOST.items():
        print(f"  {name} {reached[name]:.2g}, at most {most}: {word(reached[name] <= most)}")


def word(reached: bool) -> str:
    return "reached" if reached else "MISSED"


if __name__ == "__main__":
    main()
