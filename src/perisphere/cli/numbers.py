"""Numbers as people write them: ``0.5``, ``1/2``, ``1/sqrt(2)``. Read, never evaluated as code."""

import math
import re

from perisphere.errors import UsageError

_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_FACTOR = rf"\s*(?:({_NUMBER})|sqrt\s*\(\s*({_NUMBER})\s*\))\s*"
_RATIO = re.compile(rf"{_FACTOR}(?:/{_FACTOR})?", re.ASCII)


def number(text: str) -> float:
    """Return the value of a number, a square root, or one of them divided by another.

    Raises:
        UsageError: the text is something else, or divides by zero.
    """
    match = _RATIO.fullmatch(text[:100])
    if not match:
        raise UsageError(f"{text[:100]!r} is no number: write 0.5, 1/2, sqrt(2) or 1/sqrt(2).")
    plain, root, below, below_root = match.groups()
    divisor = _value(below, below_root) if below or below_root else 1.0
    if divisor == 0:
        raise UsageError(f"{text!r} divides by zero.")
    return _value(plain, root) / divisor


def numbers(text: str) -> tuple[float, ...]:
    """Return the values of numbers with commas between them; see :func:`number`."""
    return tuple(number(part) for part in text.split(","))


def _value(plain: str | None, root: str | None) -> float:
    return float(plain) if plain else math.sqrt(float(root or 0))
