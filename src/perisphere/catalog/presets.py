"""Named divisions: those of the published landmark systems, and how their programs count.

The programs work on n images of a class with t = floor(n / 10) and give what rounding leaves to one split, so
that a class of fewer than ten has no queries; ``published`` repeats that exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from perisphere.errors import UsageError, nearest


@dataclass(frozen=True)
class Preset:
    """A division by name.

    Attributes:
        about: one line for the help.
        fractions: split name to fraction; they sum to 1.
        published: images of a class to the count of each split, as the published program rounds;
            ``again`` included.
        again: splits drawn a second time from all images of a class but its test images, so that they overlap
            the others; split name to fraction of the class.
    """

    about: str
    fractions: dict[str, float]
    published: Callable[[int], dict[str, int]]
    again: dict[str, float] = field(default_factory=dict)


def _documented(n: int) -> dict[str, int]:
    t = n // 10
    return {"test": 2 * t, "val": t, "index": t, "train": n - 4 * t}


def _coded(n: int) -> dict[str, int]:
    t = n // 10
    return {"test": t, "val": t, "index": 2 * t, "train": n - 4 * t}


def _overlapping(n: int) -> dict[str, int]:
    t = n // 10
    return {"test": t, "val": t, "train": n - 2 * t, "index": 2 * t}


def _seventy_thirty(n: int) -> dict[str, int]:
    test = 7 * n // 10
    return {"test": test, "index": n - test}


def _tenth(n: int) -> dict[str, int]:
    kept = 9 * n // 10
    return {"train": kept, "test": n - kept}


PRESETS: dict[str, Preset] = {
    "documented": Preset(
        "train, val, test, index 60/10/20/10",
        {"train": 0.6, "val": 0.1, "test": 0.2, "index": 0.1},
        _documented,
    ),
    "coded": Preset(
        "train, val, test, index 60/10/10/20",
        {"train": 0.6, "val": 0.1, "test": 0.1, "index": 0.2},
        _coded,
    ),
    "overlapping": Preset(
        "train, val, test 80/10/10, and an index of 20 drawn again from train and val",
        {"train": 0.8, "val": 0.1, "test": 0.1},
        _overlapping,
        again={"index": 0.2},
    ),
    "seventy-thirty": Preset("test, index 70/30", {"test": 0.7, "index": 0.3}, _seventy_thirty),
    "tenth": Preset("train, test 90/10", {"train": 0.9, "test": 0.1}, _tenth),
}


def preset(name: str) -> Preset:
    """Return a preset by name.

    Raises:
        UsageError: there is no such preset.
    """
    if name not in PRESETS:
        mend = nearest(name, list(PRESETS)) or f" The presets are {', '.join(PRESETS)}."
        raise UsageError(f"no preset {name!r}.{mend}")
    return PRESETS[name]
