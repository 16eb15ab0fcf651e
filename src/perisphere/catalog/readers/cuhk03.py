"""CUHK03 with 767 identities to train on and 700 to test with (CUHK03-NP), in the layout of Market-1501.

Sources: Li et al., "DeepReID: Deep Filter Pairing Neural Network for Person Re-Identification", CVPR 2014;
Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017.
"""

from pathlib import Path

from perisphere.catalog.readers import market
from perisphere.catalog.readers.listing import Listing
from perisphere.errors import PerisphereError, UsageError

_BOXES = ("detected", "labeled")


def list_images(root: Path, *, boxes: str | None = None) -> Listing:
    """List CUHK03-NP: splits ``train``, ``query`` and ``gallery``, cameras 0 and 1.

    Args:
        root: the folder of ``detected`` and ``labeled``, or one of these two.
        boxes: ``detected`` (by a detector) or ``labeled`` (by hand); needed where both are there.

    Raises:
        UsageError: ``boxes`` is another word, or is missing where both are there.
        PerisphereError: a folder is missing.
    """
    if boxes is not None and boxes not in _BOXES:
        raise UsageError(f"boxes: {boxes!r} is neither 'detected' nor 'labeled'.")
    if not root.is_dir():
        raise PerisphereError(f"{root}: no such folder.")
    if boxes is not None:
        return market.list_images(root / boxes)
    there = [name for name in _BOXES if (root / name).is_dir()]
    if len(there) > 1:
        raise UsageError(f"{root}: holds detected and labeled. Choose one with --boxes.")
    return market.list_images(root / there[0] if there else root)
