"""What a million vectors cost on this machine: disk, memory and time; and what 100 and 1,000 millions would.

python benchmarks/scale.py [--rows 1000000 --dim 256 --rounds 5 --folder DIR]
python benchmarks/scale.py --write docs/scale.md    puts its tables into that page

Each step runs in a process of its own, so that its memory is its own: the highest resident memory beyond what
the process held before its first vector. Vectors lie in clusters of 20 (a label each, like the photos of one
landmark); queries are rows of them, moved. Threads are those of OMP_NUM_THREADS, else all cores.
"""

import argparse
import datetime
import json
import math
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from peak import Peak
from perisphere.codes.unsupervised import fit
from perisphere.index import Index
from perisphere.sphere.engine import faiss

BLOCK = 50_000
PHOTOS_OF_ONE = 20
QUERIES = (1, 16, 256)
K = 10
SAMPLE = 50_000
CODE_BYTES = (1, 4)
RECALL = 0.99
FIGURES = "figures.jsonl"
MARKS = ("<!-- measured: begin -->", "<!-- measured: end -->")
NODE_GIB, USED = 128, 0.75


def block(number: int, rows: int, dim: int) -> np.ndarray:
    """Unit rows ``[rows, dim]``, 20 around each centre; the same for the same number."""
    random = np.random.default_rng([0, number])
    centres = random.standard_normal((-(-rows // PHOTOS_OF_ONE), dim), dtype=np.float32)
    out = np.repeat(centres, PHOTOS_OF_ONE, axis=0)[:rows]
    out += random.standard_normal(out.shape, dtype=np.float32)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def table(number: int, rows: int) -> pl.DataFrame:
    """Return what a catalog says of photos: a path, a label, sizes."""
    first = number * BLOCK
    labels = (first + np.arange(rows)) // PHOTOS_OF_ONE
    return pl.DataFrame(
        {
            "path": [f"{label % 997:03d}/{first + i:09d}.jpg" for i, label in enumerate(labels)],
            "label": [f"place {label}" for label in labels],
            "split": ["index"] * rows,
            "width": [640] * rows,
            "height": [480] * rows,
        }
    )


def blocks(rows: int, dim: int) -> Iterator[tuple[np.ndarray, pl.DataFrame]]:
    for number, start in enumerate(range(0, rows, BLOCK)):
        count = min(BLOCK, rows - start)
        yield block(number, count, dim), table(number, count)


def asked(count: int, rows: int, dim: int) -> np.ndarray:
    """Return rows of the first block, each moved by half as much as it lies from its centre."""
    first = block(0, min(BLOCK, rows), dim)
    moved = first[:: len(first) // count][:count]
    return moved + 0.5 / dim**0.5 * np.random.default_rng(1).standard_normal(moved.shape, dtype=np.float32)


def warm(dim: int) -> None:
    """Search once among few: what a process needs once is not what its vectors need."""
    with tempfile.TemporaryDirectory() as folder, Index.create(Path(folder) / "index", dim) as index:
        index.add(block(0, 1000, dim))
        index.search(block(1, 1, dim), K)


def seconds(road: Callable[[], object], rounds: int) -> float:
    """Return the median of the rounds, after one that is not counted."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        road()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def report(folder: Path, what: str, rows: int, **figures: float) -> None:
    """Print figures, and keep them for the tables."""
    said = ", ".join(f"{name.replace('_', ' ')} {value:,.4g}" for name, value in figures.items())
    print(f"{what:>10} {rows:,}: {said}", flush=True)
    with (folder / FIGURES).open("a") as file:
        file.write(json.dumps({"what": what, **figures}) + "\n")


def searched(index: Index, rows: int, dim: int, rounds: int) -> dict[str, float]:
    """Return milliseconds for 1, 16 and 256 queries."""
    times = {}
    for count in QUERIES:
        queries = asked(count, rows, dim)
        few = rounds if count == 1 else 1
        times[f"ms_of_{count}"] = 1e3 * seconds(lambda queries=queries: index.search(queries, K), few)
    return times


def add(folder: Path, rows: int, dim: int, rounds: int) -> None:
    """Fill an index with all rows, as they would come from embeddings."""
    warm(dim)
    spent = 0.0
    with Peak() as peak, Index.create(folder / "index", dim) as index:
        for vectors, facts in blocks(rows, dim):
            start = time.perf_counter()
            index.add(vectors, facts)
            spent += time.perf_counter() - start
    size = disk(folder / "index") / rows
    report(folder, "add", rows, bytes_an_image=size, rows_a_second=rows / spent, GiB_of_memory=peak.gib)


def exact(folder: Path, rows: int, dim: int, rounds: int) -> None:
    warm(dim)
    with Index.open(folder / "index") as index:
        queries = asked(1, rows, dim)
        with Peak() as peak:
            start = time.perf_counter()
            index.search(queries, K)
            first = time.perf_counter() - start
        times = searched(index, rows, dim, rounds)
    report(folder, "exact", rows, first_search_s=first, GiB_of_memory=peak.gib, **times)


def approximate(folder: Path, rows: int, dim: int, rounds: int) -> None:
    before = disk(folder / "index")
    with Index.open(folder / "index") as index:
        with Peak() as peak:
            start = time.perf_counter()
            index.build(recall=RECALL)
            built = time.perf_counter() - start
        times = searched(index, rows, dim, rounds)
        queries = asked(256, rows, dim)
        found, truth = index.search(queries, K).ids, index.search(queries, K, exact=True).ids
        recall = np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(found, truth, strict=True)])
    cache = (disk(folder / "index") - before) / rows
    figures = {"built_s": built, "GiB_to_build": peak.gib, "bytes_an_image_of_the_cache": cache}
    report(folder, "ann", rows, **figures, **times, recall_measured=float(recall))


def centroids(folder: Path, rows: int, dim: int, rounds: int) -> None:
    before = disk(folder / "index")
    with Index.open(folder / "index") as index:
        start = time.perf_counter()
        count = index.keep_centroids()
        made = time.perf_counter() - start
        queries = asked(1, rows, dim)
        kept = index.centroids()
        taken = seconds(lambda: kept.search(queries, K), rounds)
    added = (disk(folder / "index") - before) / count
    report(folder, "centroids", count, made_s=made, bytes_a_centroid=added, ms_of_1=1e3 * taken)


def codes(folder: Path, rows: int, dim: int, rounds: int) -> None:
    """Keep codes alone, of 8 and 32 bits: product quantization, fitted to a sample; no catalog rows."""
    sample = block(0, min(SAMPLE, rows), dim)
    for books in CODE_BYTES:
        start = time.perf_counter()
        fitted = fit(sample, "pq", books)
        learned = time.perf_counter() - start
        place, spent = folder / f"codes-{books}", 0.0
        with Index.create(place, dim, codebooks=fitted, codes="only") as index:
            for vectors, _ in blocks(rows, dim):
                start = time.perf_counter()
                index.add(vectors)
                spent += time.perf_counter() - start
            index.compact()
        speed = {"fitted_s": learned, "rows_a_second": rows / spent}
        report(folder, f"{8 * books} bits", rows, **speed, **coded(place, rows, dim, rounds))
        shutil.rmtree(place)


def coded(place: Path, rows: int, dim: int, rounds: int) -> dict[str, float]:
    """Open an index of codes and search it."""
    with Index.open(place) as index:
        times = searched(index, rows, dim, rounds)
        kept = index._codes.now()
        offsets = 0 if kept.ids.offsets is None else kept.ids.offsets.nbytes
    in_memory = (kept.codes.nbytes + offsets) / rows
    return {"bytes_an_image": disk(place) / rows, "bytes_in_memory": in_memory, **times}


def bare(folder: Path, rows: int, dim: int, rounds: int) -> None:
    """Fill an index with vectors alone; the difference to `add` is what catalog rows and their words cost."""
    place, spent = folder / "bare", 0.0
    with Index.create(place, dim) as index:
        for vectors, _ in blocks(rows, dim):
            start = time.perf_counter()
            index.add(vectors)
            spent += time.perf_counter() - start
    report(folder, "vectors", rows, bytes_an_image=disk(place) / rows, rows_a_second=rows / spent)
    shutil.rmtree(place)


STEPS = {
    "add": add,
    "bare": bare,
    "exact": exact,
    "centroids": centroids,
    "approximate": approximate,
    "codes": codes,
}


def thousands(value: float, unit: str) -> str:
    """Write bytes or seconds so that they can be read: 119 GB, 2.3 h."""
    steps = {"B": [(1e12, "TB"), (1e9, "GB"), (1e6, "MB")], "s": [(86400, "days"), (3600, "h"), (60, "min")]}
    for size, name in steps[unit]:
        if value >= size:
            return f"{value / size:,.3g} {name}"
    return f"{value:,.3g} s" if value >= 1 or unit == "B" else f"{1e3 * value:,.3g} ms"


@dataclass(frozen=True)
class Multiples:
    """Lines of a table: what was measured with so many rows, and its multiples for 100 and 1,000 millions."""

    rows: int

    def line(self, what: str, measured: str, larger: Callable[[float], str]) -> str:
        """Fill one line; `larger` writes the figure for so many images."""
        return f"| {what} | {measured} | {larger(1e8)} | {larger(1e9)} |"

    def space(self, what: str, each: float, share: float = 1) -> str:
        """Multiply bytes an image (or of a share of them)."""
        return self.line(what, f"{each:,.4g} B", lambda size: thousands(each * size * share, "B"))

    def times(self, what: str, seconds: float) -> str:
        """Multiply seconds of something that looks at every image."""
        return self.line(
            what, thousands(seconds, "s"), lambda size: thousands(seconds * size / self.rows, "s")
        )

    def rate(self, what: str, a_second: float) -> str:
        """Turn images a second into time."""
        return self.line(what, f"{a_second:,.0f} a second", lambda size: thousands(size / a_second, "s"))

    def memory(self, what: str, gib: float) -> str:
        """Multiply memory."""
        return self.line(what, f"{gib:,.3g} GiB", lambda size: f"{gib * size / self.rows:,.4g} GiB")

    def nodes(self, gib: float) -> str:
        """Count machines."""

        def needed(size: float) -> str:
            return f"{math.ceil(gib * size / self.rows / (NODE_GIB * USED)):,}"

        return self.line(f"nodes of {NODE_GIB} GiB, {USED:.0%} of it for vectors", "1", needed)


Figures = dict[str, dict[str, float]]


def of_vectors(figures: Figures, of: Multiples) -> list[str]:
    add, bare, flat, ann = (figures[name] for name in ("add", "vectors", "exact", "ann"))
    return [
        of.space("disk: vectors, catalog rows and their words, an image", add["bytes_an_image"]),
        of.space("disk: vectors alone, an image", bare["bytes_an_image"]),
        of.rate("adding, with catalog rows", add["rows_a_second"]),
        of.rate("adding vectors alone", bare["rows_a_second"]),
        of.times("reading all vectors, to the first answer", flat["first_search_s"]),
        of.memory("exact search: memory", flat["GiB_of_memory"]),
        of.nodes(flat["GiB_of_memory"]),
        of.times("exact search: one query, on one node", flat["ms_of_1"] / 1e3),
        of.times("exact search: 256 queries at once", flat["ms_of_256"] / 1e3),
        of.times(
            f"recall {ann['recall_measured']:.3f} ({RECALL} asked): one query, at most", ann["ms_of_1"] / 1e3
        ),
        of.space(f"recall {RECALL}: its cache on disk, an image", ann["bytes_an_image_of_the_cache"]),
        of.times(f"recall {RECALL}: building it, at least", ann["built_s"]),
        of.memory(f"recall {RECALL}: memory while it is built", ann["GiB_to_build"]),
    ]


def of_codes(figures: Figures, of: Multiples) -> list[str]:
    means, lines = figures["centroids"], []
    for bits in (8 * books for books in CODE_BYTES):
        codes = figures[f"{bits} bits"]
        lines += [
            of.space(
                f"codes of {bits} bits alone: disk without catalog rows, an image", codes["bytes_an_image"]
            ),
            of.space(f"codes of {bits} bits alone: memory, an image", codes["bytes_in_memory"]),
            of.times(f"codes of {bits} bits: one query", codes["ms_of_1"] / 1e3),
            of.rate(f"adding codes of {bits} bits", codes["rows_a_second"]),
        ]
    share = 1 / PHOTOS_OF_ONE
    return [
        *lines,
        of.space(
            f"centroids of {PHOTOS_OF_ONE} photos each: disk, a centroid", means["bytes_a_centroid"], share
        ),
        of.times(f"among centroids of {PHOTOS_OF_ONE} photos: one query", means["ms_of_1"] / 1e3),
    ]


def tables(figures: Figures, rows: int, dim: int, rounds: int) -> str:
    """Write what was measured, and its multiples."""
    of, day = Multiples(rows), datetime.datetime.now(datetime.UTC)
    where = f"threads: {faiss.omp_get_max_threads()}; {processor()}, {day:%Y-%m-%d}"
    head = f"`python benchmarks/scale.py` ({rows:,} vectors of {dim} numbers, seed 0, k = {K}; "
    head += f"one query: median of {rounds}; {where}):"
    columns = f"| | {rows:,} images, measured | 100 million | 1 billion |\n|---|---:|---:|---:|"
    return "\n".join([head, "", columns, *of_vectors(figures, of), *of_codes(figures, of)])


def processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.processor()


def write(page: Path, body: str) -> None:
    """Put the tables between the page's marks."""
    begin, end = MARKS
    text = page.read_text()
    if text.count(begin) != 1 or text.count(end) != 1:
        raise SystemExit(f"error: {page}: has not one {begin} and one {end}.")
    before, after = text.split(begin)[0], text.split(end)[1]
    page.write_text(f"{before}{begin}\n{body}\n{end}{after}")


def run_all(folder: Path, rows: int, dim: int, rounds: int) -> Figures:
    """Run each step in its own process, and return their figures."""
    for step in STEPS:
        words = ["--rows", rows, "--dim", dim, "--rounds", rounds, "--folder", folder, "--step", step]
        start = time.perf_counter()
        subprocess.run([sys.executable, __file__, *map(str, words)], check=True)
        print(f"{'':>10} ({step}: {time.perf_counter() - start:.0f} s in all)", flush=True)
    lines = [json.loads(line) for line in (folder / FIGURES).read_text().splitlines()]
    return {line.pop("what"): line for line in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder if not given")
    parser.add_argument("--write", type=Path, help="the page to put the tables into")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        STEPS[options.step](options.folder, options.rows, options.dim, options.rounds)
        return
    print(f"{options.rows:,} x {options.dim}, k = {K}, {faiss.omp_get_max_threads()} threads")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = run_all(Path(folder), options.rows, options.dim, options.rounds)
    body = tables(figures, options.rows, options.dim, options.rounds)
    print(body)
    if options.write:
        write(options.write, body)


if __name__ == "__main__":
    main()
