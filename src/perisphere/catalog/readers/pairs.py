"""What photos of users and shops must have to be matched: a second photo to learn from, a shop's to find."""

import polars as pl

from perisphere.catalog.catalog import Skipped
from perisphere.catalog.readers.listing import Listing

CAMERAS = {"train": "0", "query": "0", "gallery": "1"}
SINGLE = "its pair_id has one training photo"
UNMATCHED = "its pair_id has no shop photo in the gallery"
NO_SHOP = "pair_ids without a shop photo among the training photos, which are kept"


def check_pairs(listing: Listing, table: pl.DataFrame) -> pl.DataFrame:
    """Leave out what has nothing to match with, count it, and remark what lacks a shop's photo.

    Left out are training photos that are the only one of their ``pair_id``, and queries whose ``pair_id`` has
    no shop photo in the gallery: an evaluation would skip them.

    Args:
        listing: where it is counted and remarked.
        table: rows whose photos can be used, with ``path``, ``split`` (train, query, gallery), ``label``
            (pair_id) and ``domain``.
    """
    train, shop = pl.col("split") == "train", pl.col("domain").ne_missing("user")
    single = train & (train.sum().over("label") < 2)
    sold = ((pl.col("split") == "gallery") & shop).any().over("label")
    unmatched = (pl.col("split") == "query") & ~sold
    reason = pl.when(single).then(pl.lit(SINGLE)).when(unmatched).then(pl.lit(UNMATCHED))
    judged = table.with_columns(reason=reason, lacking=train & ~(train & shop).any().over("label"))
    left_out = judged.filter(pl.col("reason").is_not_null()).select("path", "reason", "label")
    listing.ignored += [Skipped(path, f"{why} ({label})", why) for path, why, label in left_out.iter_rows()]
    kept = judged.filter(pl.col("reason").is_null())
    lacking = kept.filter("lacking")["label"].unique(maintain_order=True).to_list()
    if lacking:
        listing.remarks[NO_SHOP] = lacking
    return kept.drop("reason", "lacking")
