"""What each step of landmark retrieval gains and costs, on one collection.

    python benchmarks/landmarks.py CATALOG pixels=E0 vlad=E1 trained=E2 --query test --gallery index \
        --rerank "alphaqe(n=5)" --rerank kreciprocal --on trained

Each encoder embeds the catalog and is judged by the whole ranking; then each chain re-ranks the lists of one
of them (``--on``, else the last). Printed as a Markdown table: mAP and recall@1; milliseconds to encode one
photo, alone; milliseconds to search (and re-rank) for one query among all; bytes of a gallery image; memory
that searching and re-ranking took beyond what was there before, in MiB.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from peak import Peak
from perisphere.catalog import Catalog
from perisphere.encoder import Encoder, embed
from perisphere.evaluation import Points, Report, read_points, retrieval
from perisphere.evaluation.reranking import Reranking, context_of
from perisphere.search.rerank import parse_chain

HEAD = "| | mAP | recall@1 | encode, ms | search, ms a query | bytes an image | memory, MiB |"


def encode_ms(encoder: Encoder, photos: list[Path]) -> float:
    inference_photos = photos[:: max(1, len(photos) // 20)][:20]
    encoder.encode(inference_photos[:1])
    times = []
    for photo in inference_photos:
        begun = time.perf_counter()
        encoder.encode([photo])
        times.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(times)


def search_ms(points: Points, options: argparse.Namespace, chain: str | None) -> tuple[float, float]:
    """Return milliseconds a query of search and re-ranking, and the memory that they took in MiB."""
    asked, gallery = points.of_split(options.query), points.of_split(options.gallery)
    ids = np.array(gallery.ids)
    own = [np.flatnonzero(ids == query) for query in asked.ids]
    parts = [(gallery, np.arange(len(gallery)))]
    if chain is None:
        context = context_of(asked, parts, "cosine", own.__getitem__)
        work = lambda: context.search(context.queries, min(options.depth, len(gallery)))  # noqa: E731
    else:
        reranking = Reranking(parse_chain(chain), options.depth)
        work = lambda: reranking(asked, parts, "cosine", own.__getitem__)  # noqa: E731
    with Peak() as peak:
        begun = time.perf_counter()
        work()
        seconds = time.perf_counter() - begun
    return 1e3 * seconds / len(asked), 1024 * peak.gib


def row(name: str, report: Report, encode: float | None, points: Points, cost: tuple[float, float]) -> str:
    encoding = "" if encode is None else f"{encode:.1f}"
    size = 4 * points.vectors.shape[1]
    values = report.values
    return (
        f"| {name} | {values['mAP']:.3f} | {values['recall@1']:.3f} | {encoding} | {cost[0]:.2f} | {size:,} "
        f"| {cost[1]:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("encoders", nargs="+", metavar="NAME=ENCODER")
    parser.add_argument("--query", type=lambda text: text.split(","))
    parser.add_argument("--gallery", type=lambda text: text.split(","))
    parser.add_argument("--rerank", action="append", default=[], metavar="CHAIN")
    parser.add_argument("--on", metavar="NAME", help="the encoder whose lists are re-ranked; else the last")
    parser.add_argument("--depth", type=int, default=1000)
    options = parser.parse_args()
    catalog = Catalog.load(options.catalog)
    named = dict(pair.split("=", 1) for pair in options.encoders)
    chosen = options.on or list(named)[-1]
    splits = {"query": options.query, "gallery": options.gallery}
    print(HEAD + "\n|" + "---|" * (HEAD.count("|") - 1))
    kept: Points | None = None
    with tempfile.TemporaryDirectory() as folder:
        for name, path in named.items():
            encoder = Encoder.load(path)
            out = Path(folder) / name
            embed(catalog, encoder, out)
            points = read_points(out)
            report = retrieval(points, **splits)
            cost = search_ms(points, options, None)
            print(row(name, report, encode_ms(encoder, catalog.paths()), points, cost), flush=True)
            kept = points if name == chosen else kept
        if kept is None:
            parser.error(f"--on {chosen}: no encoder of that name; there are {', '.join(named)}.")
        for chain in options.rerank:
            report = retrieval(kept, **splits, reranking=Reranking(parse_chain(chain), options.depth))
            name = f"{chosen} + {chain}"
            print(row(name, report, None, kept, search_ms(kept, options, chain)), flush=True)


if __name__ == "__main__":
    main()
