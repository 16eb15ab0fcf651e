"""Benchmarks of the re-rankers: seconds beside those of the search, and the largest memory of the process.

python benchmarks/rerank.py search [--rows 100000 --dim 512]      what each adds to an exact search
python benchmarks/rerank.py kreciprocal [--size market1501|msmt17] the whole gallery re-ranked at once
"""

import argparse
import resource
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from perisphere.search.rerank import ArrayGallery, Context, parse_chain
from perisphere.sphere.engine import faiss

SIZES = {"market1501": (3_368, 15_913, 2048), "msmt17": (11_659, 82_161, 2048)}
"""Queries, gallery images, dimensions: of the benchmarks' test sets (MSMT17: 93,820 images in all)."""

EACH = 20
"""Images of one identity."""

LATENT = 24
"""Dimensions in which the images really differ; few, so that identities are mistaken for one another."""

CHAINS = (
    "label",
    "softlabel",
    "aqe(n=10,alpha=3)",
    "aqe(n=10,alpha=3,depth=100)",
    "aqe(n=10,alpha=3,depth=200)",
    "kreciprocal(depth=100,joint=false)",
    "diffusion(depth=1000)",
)


def identities(rows: int, dim: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Unit rows around one centre an identity, like embeddings, and the identities' names."""
    random = np.random.default_rng(seed)
    spread = random.standard_normal((LATENT, dim), dtype=np.float32)
    centres = random.standard_normal((-(-rows // EACH), LATENT), dtype=np.float32)
    names = random.permutation(np.arange(rows) // EACH)
    out = np.empty((rows, dim), np.float32)
    for start in range(0, rows, 10_000):
        part = centres[names[start : start + 10_000]]
        out[start : start + 10_000] = (part + 0.7 * random.standard_normal(part.shape, np.float32)) @ spread
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    return out, [f"identity {name}" for name in names]


def memory() -> float:
    """The largest memory that this process has held so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def seconds(rounds: int, road: Callable[[], object]) -> float:
    """The least processor seconds of several rounds, which other programs disturb less than the clock."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        road()
        times.append(time.process_time() - start)
    return min(times)


def search(rows: int, dim: int, rounds: int, k: int, **_: object) -> None:
    vectors, labels = identities(rows + 256, dim)
    gallery = ArrayGallery(vectors[256:], labels=labels[256:])
    print(
        f"exact search of {rows:,} x {dim}, k = {k}, {faiss.omp_get_max_threads()} threads, best of {rounds}"
    )
    print(f"{'':<38}{'queries':>8}{'search':>12}{'re-ranked':>12}{'more':>9}{'precision':>11}")
    for count in (1, 16, 256):
        context = Context(gallery, vectors[:count])
        truth = np.array(labels[:count])[:, None]
        for text in CHAINS:
            chain = parse_chain(text)
            found = chain.search(context, k).ids
            plain = seconds(rounds, partial(context.search, context.queries, k))
            ranked = seconds(rounds, partial(chain.search, context, k))
            right = (np.array(gallery.labels(found.ravel())).reshape(found.shape) == truth).mean()
            print(
                f"{text:<38}{count:>8}{1e3 * plain:>9.1f} ms{1e3 * ranked:>9.1f} ms"
                f"{ranked / plain - 1:>+9.1%}{right:>11.3f}"
            )


def kreciprocal(size: str, depth: int, **_: object) -> None:
    queries, rows, dim = SIZES[size]
    vectors, labels = identities(queries + rows, dim)
    before = memory()
    context = Context(ArrayGallery(vectors[queries:], labels=labels[queries:]), vectors[:queries])
    start = time.perf_counter()
    ranking = context.search(context.queries, depth)
    searched = time.perf_counter()
    found = parse_chain(f"kreciprocal(depth={depth})")(ranking, context)
    ended = time.perf_counter()
    print(
        f"{size}: {queries:,} queries, {rows:,} images, {dim} dimensions, lists of {depth:,}, "
        f"{faiss.omp_get_max_threads()} threads"
    )
    print(f"search {searched - start:.1f} s, k-reciprocal {ended - searched:.1f} s")
    print(f"largest memory {memory():.2f} GiB, of which {before:.2f} GiB before the search")
    truth = np.array(labels[:queries])[:, None]
    for name, one in (("search", ranking), ("k-reciprocal", found)):
        first = context.labels(one.ids[:, : EACH - 1].ravel())
        right = (np.array(first).reshape(queries, -1) == truth).mean()
        print(f"precision of the first {EACH - 1}, {name}: {right:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["search", "kreciprocal"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--size", choices=SIZES, default="market1501")
    parser.add_argument("--depth", type=int, default=1000)
    options = vars(parser.parse_args())
    {"search": search, "kreciprocal": kreciprocal}[options.pop("what")](**options)


if __name__ == "__main__":
    main()
