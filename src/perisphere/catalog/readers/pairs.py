"""What photos of users and shops must have to be matched: a second photo to learn from, a shop's to find."""

from collections import Counter
from typing import Any

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing

CAMERAS = {"train": "0", "query": "0", "gallery": "1"}
SINGLE = "its pair_id has one training photo"
UNMATCHED = "its pair_id has no shop photo in the gallery"
NO_SHOP = "pair_ids without a shop photo among the training photos, which are kept"


def check_pairs(listing: Listing) -> None:
    """Leave out what has nothing to match with, count it, and remark what lacks a shop's photo.

    Left out are training photos that are the only one of their ``pair_id``, and queries whose ``pair_id`` has
    no shop photo in the gallery: an evaluation would skip them.

    Args:
        listing: rows with ``path``, ``split`` (train, query, gallery), ``label`` (pair_id) and ``domain``.
    """
    photos = Counter(row["label"] for row in listing.rows if row["split"] == "train")
    shops = {(row["split"], row["label"]) for row in listing.rows if row["domain"] != "user"}
    kept = []
    for row in listing.rows:
        reason = _reason(row, photos, ("gallery", row["label"]) in shops)
        if reason is None:
            kept.append(row)
        else:
            listing.ignored.append(Skipped(row["path"], f"{reason} ({row['label']})", reason))
    listing.rows = kept
    lacking = [label for label, count in photos.items() if count > 1 and ("train", label) not in shops]
    if lacking:
        listing.remarks[NO_SHOP] = lacking


def _reason(row: dict[str, Any], photos: Counter[str], in_a_shop: bool) -> str | None:
    if row["split"] == "train" and photos[row["label"]] < 2:
        return SINGLE
    return UNMATCHED if row["split"] == "query" and not in_a_shop else None
