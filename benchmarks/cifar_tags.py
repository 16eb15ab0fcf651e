"""Noisy user tags for a folder of CIFAR-10 photos: words for class and attributes, made by a seed.

    python benchmarks/cifar_tags.py cifar10 -o tags [--seed 0] [--learn 50000]
    perisphere read tags tags/learn.jsonl --images cifar10 -o learn     # and all.jsonl

Reads ``cifar10/{train,test}/CLASS/*.jpg`` and writes ``tags/learn.jsonl`` and ``tags/all.jsonl``:
1,000 queries (100 a class, of the photos to test by) and 59,000 others, which
are the database. ``learn`` holds those of the database that are learned from; ``all`` holds the queries and
the whole database. The class is there as the ground truth (``concepts``); queries have no tags.

What a photo's tags are drawn from: words for its class (at times none, at times another class's), words of
its surroundings, words that its own pixels call for (dark, white, blue ...), and words about nothing that can
be seen. Some are misspelt, in the plural or in another language.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

NAMES = {
    "airplane": ("plane", "airplane", "jet", "aircraft"),
    "automobile": ("car", "automobile", "auto", "vehicle"),
    "bird": ("bird", "feathers", "wings"),
    "cat": ("cat", "kitten", "kitty"),
    "deer": ("deer", "doe", "stag"),
    "dog": ("dog", "puppy", "buddy"),
    "frog": ("frog", "toad", "amphibian"),
    "horse": ("horse", "pony", "mare"),
    "ship": ("boat", "ship", "vessel"),
    "truck": ("truck", "lorry", "machine"),
}
"""What people call the subject, the most usual first."""
AROUND = {
    "airplane": ("fly", "air", "high", "sky", "airport", "trip"),
    "automobile": ("drive", "road", "street", "fast", "engine"),
    "bird": ("fly", "tree", "song", "nature", "small"),
    "cat": ("house", "sleep", "eyes", "pet", "lovely"),
    "deer": ("field", "tree", "forest", "wildlife", "run"),
    "dog": ("friend", "walk", "pet", "home", "run"),
    "frog": ("water", "river", "jump", "pond", "small"),
    "horse": ("ride", "field", "farm", "run", "beautiful"),
    "ship": ("sea", "water", "harbor", "ocean", "river"),
    "truck": ("road", "work", "big", "cargo", "street"),
}
ABROAD = {
    "airplane": ("avion", "flugzeug"),
    "automobile": ("coche", "voiture"),
    "bird": ("oiseau", "vogel"),
    "cat": ("gato", "katze"),
    "deer": ("ciervo", "hirsch"),
    "dog": ("perro", "hund"),
    "frog": ("rana", "frosch"),
    "horse": ("caballo", "pferd"),
    "ship": ("barco", "schiff"),
    "truck": ("camion", "lastwagen"),
}
UNSEEN = (
    "canon", "nikon", "holiday", "2009", "friends", "family", "new york", "london", "party", "wedding",
    "love", "fun", "favorite", "project365", "explore", "birthday", "summer", "weekend", "music", "school",
)  # fmt: skip
NAMED, OTHER_CLASS, ABROAD_SHARE, PLURAL, MISSPELT = 0.75, 0.05, 0.06, 0.1, 0.05
QUERIES_A_CLASS = 100


def seen(path: Path) -> list[str]:
    """Return words for the light and the colour of a photo."""
    picture = cv2.imread(str(path))
    hue, saturation, value = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV).reshape(-1, 3).mean(0)
    words = ["dark"] if value < 80 else ["light"] if value > 175 else []
    if saturation < 40:
        return [*words, "white"] if value > 170 else [*words, "black"] if value < 90 else words
    if saturation < 70:
        return words
    colour = (
        "red" if hue < 15 or hue > 165 else "green" if 35 < hue < 80 else "blue" if 90 < hue < 130 else ""
    )
    return [*words, colour] if colour else words


def misspelt(word: str, rng: np.random.Generator) -> str:
    """Return the word with two letters exchanged or one left out."""
    place = int(rng.integers(1, max(len(word) - 1, 2)))
    if rng.random() < 0.5 and place + 1 < len(word):
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    return word[:place] + word[place + 1 :]


def tags(label: str, path: Path, rng: np.random.Generator) -> list[str]:
    """Draw the tags of one photo."""
    words: list[str] = []
    if rng.random() < NAMED:
        named = label if rng.random() >= OTHER_CLASS else str(rng.choice(list(NAMES)))
        names = NAMES[named]
        usual = np.array([0.5, *[0.5 / (len(names) - 1)] * (len(names) - 1)])
        words += rng.choice(names, int(rng.integers(1, 3)), replace=False, p=usual).tolist()
        if rng.random() < ABROAD_SHARE:
            words.append(str(rng.choice(ABROAD[named])))
    words += [word for word in AROUND[label] if rng.random() < 0.25]
    words += [word for word in seen(path) if rng.random() < 0.6]
    words += rng.choice(UNSEEN, int(rng.poisson(1.2)), replace=True).tolist()
    spoiled = []
    for word in dict.fromkeys(words):
        chance = rng.random()
        if chance < MISSPELT and len(word) > 3:
            word = misspelt(word, rng)
        elif chance < MISSPELT + PLURAL and word in NAMES[label]:
            word += "s"
        spoiled.append(word)
    return spoiled


def photos(root: Path, seed: int) -> Iterator[tuple[Path, str, bool]]:
    """Yield path, class and whether it is a query, in the order of the paths."""
    for part in ("train", "test"):
        for label in NAMES:
            files = sorted((root / part / label).glob("*.jpg"))
            if not files:
                raise SystemExit(f"{root / part / label}: holds no JPEG files; unpack CIFAR-10 there.")
            asked = set()
            if part == "test":
                rng = np.random.default_rng([seed, list(NAMES).index(label)])
                asked = set(rng.choice(len(files), QUERIES_A_CLASS, replace=False).tolist())
            for place, file in enumerate(files):
                yield file, label, place in asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learn", type=int, default=50_000, help="photos of the database to learn from")
    given = parser.parse_args()
    rows = []
    for number, (file, label, query) in enumerate(photos(given.root, given.seed)):
        drawn = [] if query else tags(label, file, np.random.default_rng([given.seed, 10, number]))
        rows.append(
            {"image": file, "tags": drawn, "concepts": [label], "split": "query" if query else "gallery"}
        )
    database = [row for row in rows if row["split"] == "gallery"]
    chosen = np.random.default_rng([given.seed, 11]).choice(len(database), given.learn, replace=False)
    learn = [{**database[place], "split": "train"} for place in sorted(chosen.tolist())]
    given.out.mkdir(parents=True)
    for name, part in (("learn", learn), ("all", rows)):
        with (given.out / f"{name}.jsonl").open("w", encoding="utf-8") as out:
            for row in part:
                image = row["image"].relative_to(given.root).as_posix()
                out.write(json.dumps({**row, "image": image}, ensure_ascii=False) + "\n")
        print(f"{out.name}: {len(part)} photos")


if __name__ == "__main__":
    main()
