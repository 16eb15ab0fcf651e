"""Benchmarks of an index with codes: each prints ratios to a named baseline, measured in the same run.

python benchmarks/codes.py                     all of them
python benchmarks/codes.py scan [--rows 1000000 --dim 300 --books 4]
python benchmarks/codes.py size
python benchmarks/codes.py shortlist [--rows 200000]

Threads are those of OMP_NUM_THREADS, else all cores.
"""

import argparse
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import numpy as np

from index import interleaved, verdict
from index import vectors as clustered
from perisphere.codes import Codebooks
from perisphere.index import Index, kept_codes
from perisphere.sphere.engine import faiss

MOST_MS, MOST_RATIO, MOST_BYTES = 15, 1.2, 12
K = 10
STEP = 100_000


def product(dim: int, books: int, seed: int = 0) -> Codebooks:
    """Random words, each in its slice."""
    random = np.random.default_rng(seed)
    words = np.zeros((books, 256, dim), np.float32)
    for book, part in enumerate(np.array_split(np.arange(dim), books)):
        words[book][:, part] = random.standard_normal((256, len(part))) / dim**0.5
    return Codebooks(words, "product")


def filled(folder: Path, rows: int, dim: int, books: int, mode: str) -> Index:
    index = Index.create(folder / "index", dim, codebooks=product(dim, books), codes=mode)
    for number, start in enumerate(range(0, rows, STEP)):
        index.add(clustered(min(STEP, rows - start), dim, seed=number))
    index.compact()
    return index


def own_scan(codes: np.ndarray, dim: int) -> faiss.IndexPQ:
    """Return FAISS's own index of codes of this size, of its own sub-vectors."""
    books = codes.shape[1]
    index = faiss.IndexPQ(books * -(-dim // books), books, 8, faiss.METRIC_INNER_PRODUCT)
    words = np.random.default_rng(0).standard_normal(index.pq.centroids.size()).astype(np.float32)
    faiss.copy_array_to_vector(words, index.pq.centroids)
    index.is_trained = True
    index.add_sa_codes(codes)
    return index


def scan(folder: Path, rows: int, dim: int, books: int, rounds: int) -> None:
    with filled(folder, rows, dim, books, "only") as index:
        theirs = own_scan(index._codes.now().codes, dim)
        print(f"scan of {rows:,} codes of {books} bytes, k = {K}, {faiss.omp_get_max_threads()} threads")
        for count in (1, 16, 256):
            asked = clustered(count, dim, seed=10**6)
            wide = np.zeros((count, theirs.d), np.float32)
            wide[:, :dim] = asked
            times = interleaved(
                rounds if count < 256 else 3,
                index=lambda asked=asked: index.search(asked, K),
                symmetric=lambda asked=asked: index.search(asked, K, symmetric=True),
                faiss=lambda wide=wide: theirs.search(wide, K),
            )
            ratio, milliseconds = times["index"] / times["faiss"], 1e3 * times["index"]
            limits = f"{verdict(milliseconds, MOST_MS)}, " if count == 1 else ""
            ratio_words = f"{ratio:.2f} x FAISS's IndexPQ {verdict(ratio, MOST_RATIO)}"
            print(
                f"  {count:4d} queries: {milliseconds:8.2f} ms {limits}= {ratio_words}; "
                f"symmetric {1e3 * times['symmetric']:.2f} ms"
            )


def resident() -> int:
    """Return the bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def size(folder: Path, rows: int, dim: int, books: int, rounds: int) -> None:
    """Weigh the index with and without its codes; what is left is its catalog rows."""
    filled(folder, rows, dim, books, "only").close()
    store = folder / "index" / "index.sqlite"
    books_bytes = (folder / "index" / kept_codes.FILE).stat().st_size
    bare = shutil.copy(store, folder / "bare.sqlite")
    connection = sqlite3.connect(bare)
    connection.execute("DELETE FROM codes")
    connection.commit()
    connection.execute("VACUUM")
    connection.close()
    disk = (store.stat().st_size - Path(bare).stat().st_size + books_bytes) / rows
    with Index.open(folder / "index") as index:
        index.search(clustered(1, dim), K, where="id < 0")  # what does not grow with the index
        coded = index._codes.now()
        ids = 0 if coded.ids.offsets is None else coded.ids.offsets.nbytes
        memory = (coded.codes.nbytes + ids) / rows
        index.remove(np.arange(3, rows, 3))
        index.compact()
        coded = index._codes.now()
        gaps = (coded.codes.nbytes + coded.ids.offsets.nbytes) / len(coded)
        stored = index.info()["codes"]["bytes"] / len(coded)
    print(
        f"{rows:,} codes of {books} bytes, beyond catalog rows: {disk:.2f} bytes an image on disk, codebooks "
        f"included {verdict(disk, MOST_BYTES)}, {memory:.2f} in memory {verdict(memory, MOST_BYTES)}; "
        f"with every third image removed {stored:.2f} and {gaps:.2f} {verdict(gaps, MOST_BYTES)}"
    )


def opened(folder: Path, rows: int, dim: int, books: int, rounds: int) -> None:
    """Open and search once: the codes are read, no vectors."""
    filled(folder, rows, dim, books, "only").close()
    asked = clustered(1, dim)

    def searchable() -> None:
        with Index.open(folder / "index") as index:
            index.search(asked, K)

    before = resident()
    searchable()
    grown = resident() - before
    times = interleaved(rounds, open=searchable)
    print(
        f"open and search once, {rows:,} codes: {1e3 * times['open']:.1f} ms; the process grew by "
        f"{grown / rows:.1f} bytes an image"
    )


def shortlist(folder: Path, rows: int, dim: int, books: int, rounds: int) -> None:
    with filled(folder, rows, dim, books, "beside") as index:
        asked = clustered(64, dim, seed=0)
        before = resident()
        index.search(asked[:1], K)
        read = resident() - before
        print(f"short lists, {rows:,} x {dim} beside codes of {books} bytes; {read >> 20} MiB read to search")
        exact = index.search(asked, K, exact=True).ids
        for length in (0, 100, 1000):
            times = interleaved(
                rounds,
                codes=lambda length=length: index.search(asked[:1], K, shortlist=length),
                exact=lambda: index.search(asked[:1], K, exact=True),
            )
            found = index.search(asked, K, shortlist=length).ids
            recall = np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(found, exact, strict=True)])
            print(
                f"  of {length:4d}: {1e3 * times['codes']:7.2f} ms = {times['codes'] / times['exact']:.2f} x "
                f"an exact search in memory; recall of its {K}: {recall:.3f}"
            )


ROWS = {"scan": 1_000_000, "size": 1_000_000, "open": 1_000_000, "shortlist": 200_000}
PROGRAMS = {"scan": scan, "size": size, "open": opened, "shortlist": shortlist}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="|".join(PROGRAMS))
    parser.add_argument("--rows", type=int)
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--books", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    unknown = set(options.what) - set(PROGRAMS)
    if unknown:
        parser.error(f"{unknown.pop()!r} is no benchmark; choose among {', '.join(PROGRAMS)}.")
    for what in options.what or PROGRAMS:
        with tempfile.TemporaryDirectory() as folder:
            rows = options.rows or ROWS[what]
            PROGRAMS[what](Path(folder), rows, options.dim, options.books, options.rounds)


if __name__ == "__main__":
    main()
