"""Loss functions: tensors in, a scalar out; one a file."""

from perisphere.losses.contrastive import contrastive
from perisphere.losses.triplet import triplet
from perisphere.losses.tuples import NEGATIVE, POSITIVE, QUERY

__all__ = ["NEGATIVE", "POSITIVE", "QUERY", "contrastive", "triplet"]
