"""Search by words, by regions and by both: precision of the first ten.

    python benchmarks/words.py INDEX CATALOG

INDEX holds photos with captions and categories, and regions (`perisphere index regions`); CATALOG the same
photos with their true masks (`perisphere read wikiscenes ROOT --masks FOLDER`). Each concept is asked for by
its name, and each pair of concepts that ten photos show together by "a with b". A photo is right where each
concept covers a tenth of it at the least, by its true mask; of single concepts also where it is the first
that the photo is labelled with.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np

from perisphere.catalog import Catalog
from perisphere.catalog.label_images import read_labels
from perisphere.index import Index
from perisphere.search.word_query import best_first, known_words, seek

FIRST, LEAST_SHARE, LEAST_PHOTOS = 10, 0.1, 10
WAYS = {"words": (1.0, 0.0), "regions": (0.0, 0.9), "together": (1.0, 0.9)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path)
    parser.add_argument("catalog", type=Path)
    options = parser.parse_args()
    catalog = Catalog.load(options.catalog)
    names = catalog.source["concepts"]
    with Index.open(options.index) as index:
        paths = {path for _, _, path in index.paths()}
        shown, labelled = truths(catalog, names, paths)
        pairs = {
            f"{one} with {other}": shown[one] & shown[other]
            for one, other in itertools.combinations(names, 2)
            if len(shown[one] & shown[other]) >= LEAST_PHOTOS
        }
        asked = {"shown": shown, "labelled": labelled, "pairs": pairs}
        print(f"{len(paths)} photos, {len(names)} concepts, {len(pairs)} pairs; precision@{FIRST}")
        print(f"{'':10}" + "".join(f"{kind:>10}" for kind in asked))
        chance = [np.mean([len(right) / len(paths) for right in texts.values()]) for texts in asked.values()]
        print(f"{'chance':10}" + "".join(f"{share:10.3f}" for share in chance))
        for way, trusts in WAYS.items():
            figures = [precision(index, texts, *trusts) for texts in asked.values()]
            print(f"{way:10}" + "".join(f"{figure:10.3f}" for figure in figures))


def truths(
    catalog: Catalog, names: list[str], paths: set[str]
) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return the photos that show each concept, and those whose first label it is, among ``paths``."""
    shown: dict[str, set[str]] = {name: set() for name in names}
    labelled: dict[str, set[str]] = {name: set() for name in names}
    masks = catalog.mask_paths("concepts")
    for id_, path, concepts in catalog.table.select("id", "path", "concepts").iter_rows():
        if path not in paths or id_ not in masks:
            continue
        labels = read_labels(masks[id_])
        counts = np.bincount(labels.ravel(), minlength=256)[1 : len(names) + 1]
        for name, count in zip(names, counts, strict=True):
            if count >= LEAST_SHARE * labels.size:
                shown[name].add(path)
        if concepts:
            labelled[concepts[0]].add(path)
    return shown, labelled


def precision(index: Index, texts: dict[str, set[str]], words: float, regions: float) -> float:
    """Return the mean share of right photos among the first of each text."""
    shares = []
    found = seek(index, list(texts), known_words(index), trust=(words, regions))
    for sought, right in zip(found, texts.values(), strict=True):
        ids = list(best_first(sought.scores, FIRST))
        shares.append(sum(path in right for path in index.rows(ids)["path"]) / FIRST)
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
