"""The embedded index: SQLite holds the truth, FAISS makes it fast."""

from perisphere.index.centroids import Centroids
from perisphere.index.index import Index
from perisphere.index.ranking import Ranking

__all__ = ["Centroids", "Index", "Ranking"]
