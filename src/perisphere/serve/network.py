"""The encoder of an index, brought into memory beside the service and kept set up."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from perisphere.errors import PerisphereError
from perisphere.index import Index
from perisphere.search import Centroid, Point, Query, Row

if TYPE_CHECKING:
    from perisphere.encoder import Encoder
    from perisphere.encoder.dense_features import DenseFeatures
    from perisphere.encoder.runtimes.names import Runtime

STORED = Row | Point | Centroid
"""What has a point without the encoder's help."""


def is_stored(query: Query) -> bool:
    """Say whether all things in a query have a point without the encoder's help."""
    return all(isinstance(example.what, STORED) for example in (*query.like, *query.unlike))


class Network:
    """What an index's encoder can do; it is loaded once, by whoever first needs it.

    What can be told without it is read from its description: bringing PyTorch along takes seconds.

    Args:
        index: the index.
        runtime: what runs the network; the encoder's own by default.
    """

    def __init__(self, index: Index, runtime: "Runtime | None" = None) -> None:
        self._index, self._runtime = index, runtime
        self._loading = RLock()

    @cached_property
    def described(self) -> dict[str, Any]:
        """What the encoder's description says; empty where the index has no encoder."""
        try:
            text = (Path(self._index.folder) / "encoder" / "encoder.json").read_text(encoding="utf-8")
            described = json.loads(text)
        except (OSError, ValueError):
            return {}
        return described if isinstance(described, dict) else {}

    @property
    def texts(self) -> str | None:
        """By what texts are points: ``"joint"`` (a text tower), ``"tags"``, or ``None``: by nothing."""
        return "joint" if "text" in self.described else "tags" if "tags" in self.described else None

    @property
    def has_classes(self) -> bool:
        """Whether it has points of classes."""
        return "classes_sha256" in self.described

    @property
    def encoder(self) -> "Encoder | None":
        """The encoder, whose network stays set up; ``None`` where the index has none."""
        with self._loading:
            return self._encoder

    @property
    def dense(self) -> "DenseFeatures | None":
        """What gives dense features; ``None`` where the encoder has none."""
        with self._loading:
            return self._dense

    def for_queries(self, queries: Sequence[Query]) -> "Encoder | None":
        """Return the encoder where one of the queries has something that only it can place."""
        return None if all(map(is_stored, queries)) else self.encoder

    @cached_property
    def _encoder(self) -> "Encoder | None":
        kept = self._index.encoder()
        return None if kept is None else kept.on(self._runtime).standing()

    @cached_property
    def _dense(self) -> "DenseFeatures | None":
        from perisphere.encoder.dense_features import DenseFeatures

        if self._encoder is None:
            return None
        try:
            features = DenseFeatures(self._encoder)
            features(np.zeros((64, 64, 3), np.uint8))
        except PerisphereError:  # a network without feature maps
            return None
        return features
