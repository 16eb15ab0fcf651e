"""Time and memory of making tags: as many photos and tags as NUS-WIDE, and a large file of word vectors.

    python benchmarks/tags.py build [--photos 200000] [--tags 5000] [--seed 0]
    python benchmarks/tags.py vectors [--words 300000] [--dim 300]

Photos carry about 18 words each: common ones, those of one of 50 subjects, some of them misspelled, in the
plural or in capitals. The file of word vectors is written in word2vec's binary form, packed, into a temporary
folder, and 5,000 words of it are read. Time is wall clock and processor time; memory is the peak of the
process beyond what it had before.
"""

import argparse
import gzip
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from perisphere.tags import Making, build_tags
from perisphere.tags.word_vectors import read_word_vectors

SUBJECTS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["build", "vectors"])
    for name, value in (("photos", 200_000), ("tags", 5_000), ("words", 300_000), ("dim", 300), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    (build if options.what == "build" else vectors)(options)


def build(options: argparse.Namespace) -> None:
    lists = tag_lists(options.photos, options.tags, np.random.default_rng(options.seed))
    for title, making in (("12 dimensions", Making(dim=12)), ("300 dimensions", Making())):
        tags, account = measured(f"build, {title}", lambda making=making: build_tags(lists, making))
        merged = sum(map(len, account.merged.values()))
        print(f"  {account.photos:,} photos, {account.typed:,} words, {len(tags):,} tags, {merged:,} merged")


def vectors(options: argparse.Namespace) -> None:
    draw = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.bin.gz"
        with gzip.open(file, "wb", compresslevel=1) as packed:
            packed.write(f"{options.words} {options.dim}\n".encode())
            for word in range(options.words):
                packed.write(
                    f"word{word} ".encode() + draw.standard_normal(options.dim, np.float32).tobytes()
                )
        wanted = [f"word{word}" for word in range(0, options.words, max(1, options.words // 5_000))]
        size = 4 * options.words * options.dim
        found = measured(f"read {size / 1e9:.2f} GB unpacked", lambda: read_word_vectors(file, wanted))
        print(f"  {found.words:,} words, {len(found.vectors):,} wanted")


def tag_lists(photos: int, tags: int, draw: np.random.Generator) -> list[list[str]]:
    """Return words of photos as users would type them."""
    names = np.array([spelled(number) for number in range(tags)])
    chance = 1 / np.arange(1, tags + 1) ** 0.8
    common = draw.choice(tags, (photos, 10), p=chance / chance.sum())
    subject = draw.integers(0, SUBJECTS, (photos, 1))
    own = draw.integers(0, tags // SUBJECTS, (photos, 8)) * SUBJECTS + subject
    return [[typed(word, draw) for word in row] for row in names[np.hstack([common, own])].tolist()]


def spelled(number: int) -> str:
    """Return a word of three to five syllables for a number; all different."""
    syllables = ("ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "ho", "ju")
    letters = []
    number += 15**2
    while number:
        number, rest = divmod(number, 15)
        letters.append(syllables[rest])
    return "".join(letters) + "n"


def typed(word: str, draw: np.random.Generator) -> str:
    """Return a word as somebody types it."""
    kind = draw.random()
    if kind < 0.01:
        place = int(draw.integers(1, len(word) - 1))
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    return word + "s" if kind < 0.06 else word.title() if kind < 0.2 else word


def measured(title: str, work: Callable[[], Any]) -> Any:
    before, wall, cpu = (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        time.perf_counter(),
        time.process_time(),
    )
    found = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{title}: {wall:.1f} s ({cpu:.1f} s of processor time), {grown / 1024:.0f} MiB more at its peak")
    return found


if __name__ == "__main__":
    main()
