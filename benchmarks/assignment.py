"""Time and error of choosing codes in the metric of tags, beside the published formulation.

    python benchmarks/assignment.py [--published-rows 10000] [--threads 2]

10,000 vectors of 300 numbers, 4 books of 256 words, 1,000 tags, 3 sweeps. The published formulation
multiplies, for every book of every sweep, what each of 256 words would leave of each vector with all tags; it
is re-expressed with PyTorch's products on all threads, 500 vectors at a time as published. Since it needs the
same time for every 500 vectors, it runs on the first ``--published-rows`` of them (1,000) and its time is
scaled to 10,000, which the output says. Ours runs on all 10,000, with the root of the metric and the tables
of words.

Both visit the books in the same orders, so that their errors are comparable; both are measured in float64
along the tags. Beam and restarts, which the published program lacks, stand below. Floors: the product of the
vectors with the words, and reading from the tables as many rows of costs as three sweeps read. Processor time
stands beside the time of a clock: on a busy machine only the former says anything.
"""

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from perisphere.codes.assignment import BLOCK, assign
from perisphere.codes.books import start, update
from perisphere.codes.metric import metric_root

VECTORS, DIM, BOOKS, WORDS, TAGS, SWEEPS = 10_000, 300, 4, 256, 1_000, 3
PUBLISHED_BATCH = 500
TIMES_AS_FAST = 200
ROUNDING = 1e-4
"""Of errors: the published products round in float32, so that some near ties fall to another word."""
BETTER = {
    "1 restart": {"restarts": 1},
    "4 restarts": {"restarts": 4},
    "beam 8": {"beam": 8},
    "beam 8, 4 restarts": {"beam": 8, "restarts": 4},
    "beam 16, 16 restarts": {"beam": 16, "restarts": 16},
}

Floats = NDArray[np.float32]
T = TypeVar("T")


def published(vectors: Floats, words: Floats, tags: Floats, orders: NDArray[np.int64]) -> NDArray[np.int64]:
    """Choose codes by the errors of every candidate along every tag."""
    books, along = torch.from_numpy(words), torch.from_numpy(tags).T.contiguous()
    found = []
    for batch in torch.from_numpy(vectors).split(PUBLISHED_BATCH):
        chosen: dict[int, torch.Tensor] = {}
        for book in orders.ravel().tolist():
            others = [books[other][codes] for other, codes in chosen.items() if other != book]
            rest = batch - sum(others, torch.zeros_like(batch))
            left = (rest[:, None] - books[book]).reshape(-1, DIM)
            errors = (left @ along).square_().sum(1).view(len(batch), WORDS)
            chosen[book] = errors.argmin(1)
        found.append(torch.stack([chosen[book] for book in range(BOOKS)], 1))
    return torch.cat(found).numpy()


def inputs() -> tuple[Floats, Floats, Floats]:
    """Return unit vectors that lie between tags, words fitted to them, and the unit tag vectors."""
    rng = np.random.default_rng(0)
    tags = rng.normal(size=(TAGS, DIM)) + rng.normal(size=DIM)  # word vectors share a direction
    tags /= np.linalg.norm(tags, axis=1, keepdims=True)
    vectors = tags[rng.integers(0, TAGS, (VECTORS, 3))].sum(axis=1) + 0.05 * rng.normal(size=(VECTORS, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors, tags = vectors.astype(np.float32), tags.astype(np.float32)
    words = start(vectors, BOOKS, WORDS)
    words = update(vectors, assign(vectors, words, root=metric_root(tags)), words)
    return vectors, words, tags


def timed(work: Callable[[], T]) -> tuple[T, float, float]:
    """Return the result, the seconds of the clock, and those of the processor."""
    begun, start_of_clock = time.process_time(), time.perf_counter()
    result = work()
    return result, time.perf_counter() - start_of_clock, time.process_time() - begun


def fastest(work: Callable[[], T], rounds: int) -> tuple[T, float, float]:
    """Return the result, and the least of both times over the rounds."""
    runs = [timed(work) for _ in range(rounds)]
    return runs[0][0], min(run[1] for run in runs), min(run[2] for run in runs)


def error(vectors: Floats, words: Floats, codes: NDArray, tags: Floats) -> float:
    """Return the mean squared length, along all tags, of what the codes leave of the vectors."""
    kept = sum(words[book][codes[:, book]] for book in range(BOOKS))
    left = (vectors.astype(np.float64) - kept) @ tags.T.astype(np.float64)
    return float(np.square(left).sum(axis=1).mean())


def floors(vectors: Floats, words: Floats, rounds: int) -> dict[str, tuple[float, float]]:
    """Return the times of what no program can leave out."""
    flat = words.reshape(-1, DIM).T.copy()
    table = np.random.default_rng(0).normal(size=(WORDS, WORDS)).astype(np.float32)
    codes = np.random.default_rng(1).integers(0, WORDS, VECTORS)
    visits = SWEEPS * BOOKS * (BOOKS - 1) - BOOKS * (BOOKS - 1) // 2  # the first sweep knows fewer others

    def product() -> None:
        for first in range(0, VECTORS, BLOCK):
            vectors[first : first + BLOCK] @ flat

    def reading() -> None:
        costs = np.empty((BLOCK, WORDS), np.float32)
        for first in range(0, VECTORS, BLOCK):
            some = codes[first : first + BLOCK]
            for _ in range(visits):
                np.take(table, some, axis=0, out=costs[: len(some)], mode="clip")

    found = {"product with the words": product, "reading the tables": reading}
    return {name: fastest(work, rounds)[1:] for name, work in found.items()}


def compare(rows: int, rounds: int) -> None:
    vectors, words, tags = inputs()
    orders = np.stack([np.random.default_rng(2).permutation(BOOKS) for _ in range(SWEEPS)])
    codes, *ours = fastest(lambda: assign(vectors, words, root=metric_root(tags), orders=orders), rounds)
    theirs_codes, *theirs = timed(lambda: published(vectors[:rows], words, tags, orders))
    theirs = [seconds * VECTORS / rows for seconds in theirs]
    scaled = "" if rows == VECTORS else f" (measured on {rows:,}, scaled)"
    show("published" + scaled, theirs)
    show("perisphere", ours)
    for name, seconds in floors(vectors, words, rounds).items():
        show(f"floor: {name}", seconds)
    ratios = [slow / fast for slow, fast in zip(theirs, ours, strict=True)]
    reached = word(min(ratios) >= TIMES_AS_FAST)
    print(f"times as fast: {ratios[0]:.0f} (processor {ratios[1]:.0f}), at least {TIMES_AS_FAST}: {reached}")
    there = error(vectors[:rows], words, theirs_codes, tags)
    here = error(vectors[:rows], words, codes[:rows], tags)
    same = float((theirs_codes == codes[:rows]).all(axis=1).mean())
    fine = word(here <= there * (1 + ROUNDING))
    print(f"error of {rows:,}: {here:.6f}, published {there:.6f}, not higher: {fine}")
    print(f"codes that are the same: {100 * same:.2f} %")
    plain = error(vectors, words, codes, tags)
    for name, options in BETTER.items():
        chosen, *seconds = fastest(
            lambda options=options: assign(vectors, words, root=metric_root(tags), **options), 1
        )
        lower = error(vectors, words, chosen, tags) / plain
        times = f"{theirs[0] / seconds[0]:.0f} times as fast"
        show(f"{name}: error x {lower:.4f} {word(lower < 1 - ROUNDING)}, {times}", seconds)


def show(name: str, seconds: "list[float] | tuple[float, float]") -> None:
    print(f"{name:<64} {seconds[0]:10.3f} s ({seconds[1]:.3f} s of the processor)", flush=True)


def word(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--published-rows", type=int, default=1_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    size = f"{VECTORS:,} vectors of {DIM}, {BOOKS} books of {WORDS}, {TAGS:,} tags, {SWEEPS} sweeps"
    print(f"{size}, {options.threads} threads of PyTorch", flush=True)
    compare(min(options.published_rows, VECTORS), options.rounds)


if __name__ == "__main__":
    main()
