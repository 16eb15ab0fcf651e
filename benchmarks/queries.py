"""Kinds of queries and their combinations: precision of the first ten.

    python benchmarks/queries.py INDEX [--queries 200] [--seed 0]

INDEX holds photos of places, with labels that begin with the name of the place, captions and the concepts of
these (`perisphere read wikiscenes`). Drawn photos of the index are the queries, by id.

*Same part*: right is a photo that shows the same part of a place, the first concept of its caption. The query
is one photo, or three that show it. Then feedback: of the photo's first ten, the best right result is liked
too, or the best wrong ones are counter-examples; what was marked counts no more, before and after.

*That part there*: right is a photo that shows the same part in another place, which is named in words. The
query is the photo, the name, or both; `by ranks` fuses the two lists by reciprocal ranks (G. Cormack,
C. Clarke, S. Buettcher, SIGIR 2009, k = 60) in place of the scores.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perisphere.index import Index
from perisphere.search import Example, Query, Row, search

FIRST, DEEP, LISTED = 10, 60, 1000
GAMMAS = (0.1, 0.25, 0.5, 0.75, 1.0)
WEIGHTS = (0.1, 0.25, 0.5, 0.75, 0.9)
Lists = list[list[int]]
Truth = list[set[int]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    with Index.open(options.index) as index:
        same_part(index, random, options.queries)
        that_part_there(index, random, options.queries)


def same_part(index: Index, random: np.random.Generator, count: int) -> None:
    rows = index.rows()
    parts = {row["id"]: row["concepts"][0] for row in rows.iter_rows(named=True) if row["concepts"]}
    ids = random.permutation(list(parts))[:count].tolist()
    members = {part: [id_ for id_ in parts if parts[id_] == part] for part in set(parts.values())}
    right = [set(members[parts[id_]]) - {id_} for id_ in ids]
    print(f"same part: {len(ids)} queries among {len(rows)} photos, precision@{FIRST}")
    line("chance", np.mean([len(some) / len(rows) for some in right]))
    first = lists(index, [Query.of(Row(id_), k=DEEP) for id_ in ids])
    show("a photo", first, right)
    more = [random.choice(sorted(some), 2, replace=False).tolist() if len(some) > 1 else [] for some in right]
    three = [Query.of(Row(id_), *map(Row, others), k=DEEP) for id_, others in zip(ids, more, strict=True)]
    show("three photos", lists(index, three), right, more)
    feedback(index, ids, first, right)


def feedback(index: Index, ids: list[int], first: Lists, right: Truth) -> None:
    """Mark results of the first ten, and search again; what was marked counts no more."""
    good = [
        [id_ for id_ in found[:FIRST] if id_ in some][:1] for found, some in zip(first, right, strict=True)
    ]
    for marked in (1, 3):
        bad = [
            [id_ for id_ in found[:FIRST] if id_ not in some][:marked]
            for found, some in zip(first, right, strict=True)
        ]
        kept = [place for place in range(len(ids)) if bad[place] and good[place]]
        asked = [ids[place] for place in kept]
        truth = [right[place] for place in kept]
        no, yes = ([marks[place] for place in kept] for marks in (bad, good))
        gone = [[*one, *other] for one, other in zip(no, yes, strict=True)]
        print(f"{len(kept)} of them with a right and a wrong result, {marked} counter-example(s)")
        show("  before", [first[place] for place in kept], truth, gone)
        show("  + right", lists(index, examples(asked, yes, [[]] * len(kept), 0)), truth, gone)
        for gamma in GAMMAS:
            show(
                f"  - wrong, gamma {gamma}",
                lists(index, examples(asked, [[]] * len(kept), no, gamma)),
                truth,
                gone,
            )
        for gamma in GAMMAS:
            show(
                f"  + right - wrong, gamma {gamma}",
                lists(index, examples(asked, yes, no, gamma)),
                truth,
                gone,
            )


def examples(ids: list[int], yes: Lists, no: Lists, gamma: float) -> list[Query]:
    return [
        Query(
            tuple(Example(Row(one)) for one in (id_, *good)),
            tuple(Example(Row(one)) for one in bad),
            gamma=gamma,
            k=DEEP,
        )
        for id_, good, bad in zip(ids, yes, no, strict=True)
    ]


def that_part_there(index: Index, random: np.random.Generator, count: int) -> None:
    rows = [row for row in index.rows().iter_rows(named=True) if row["concepts"]]
    ids: list[int] = []
    words: list[str] = []
    right: Truth = []
    for place in random.permutation(len(rows)).tolist():
        row = rows[place]
        label = str(random.choice(sorted({other["label"] for other in rows} - {row["label"]})))
        wanted = {
            other["id"]
            for other in rows
            if other["label"] == label and other["concepts"][0] == row["concepts"][0]
        }
        if wanted and len(ids) < count:
            ids.append(row["id"])
            words.append(label.split()[0])
            right.append(wanted)
    print(f"that part there: {len(ids)} queries among {len(index)} photos, precision@{FIRST}")
    line("chance", np.mean([len(some) / len(index) for some in right]))
    line("best possible", np.mean([min(len(some), FIRST) / FIRST for some in right]))
    by_photo = lists(index, [Query.of(Row(id_), k=LISTED) for id_ in ids])
    by_words = lists(index, [Query(words=word, k=LISTED) for word in words])
    show("photo", by_photo, right)
    show("words", by_words, right)
    for weight in WEIGHTS:
        both = [
            Query.of(Row(id_), words=word, words_weight=weight, k=FIRST)
            for id_, word in zip(ids, words, strict=True)
        ]
        show(f"both, words' weight {weight}", lists(index, both), right)
    show("both, by ranks", [by_ranks(pair) for pair in zip(by_photo, by_words, strict=True)], right)


def by_ranks(found: Sequence[list[int]]) -> list[int]:
    scores: dict[int, float] = {}
    for ids in found:
        for rank, id_ in enumerate(ids, start=1):
            scores[id_] = scores.get(id_, 0.0) + 1 / (60 + rank)
    return sorted(scores, key=lambda id_: (-scores[id_], id_))


def lists(index: Index, queries: Sequence[Query]) -> Lists:
    return [[result.id for result in answer.results] for answer in search(index, queries).answers]


def show(name: str, found: Lists, right: Truth, gone: Sequence[Sequence[int]] = ()) -> None:
    """Print the mean share of right photos among the first that were not marked."""
    shares = []
    for place, ids in enumerate(found):
        left = [id_ for id_ in ids if not gone or id_ not in gone[place]][:FIRST]
        shares.append(sum(id_ in right[place] for id_ in left) / FIRST)
    line(name, np.mean(shares))


def line(name: str, figure: float | np.floating) -> None:
    print(f"{name:36}{figure:.3f}")


if __name__ == "__main__":
    main()
