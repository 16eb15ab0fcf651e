"""The Encoder: a network with its exact preprocessing and whitening, and batch embedding."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perisphere.encoder.embed_catalog import embed
    from perisphere.encoder.embeddings import Embeddings
    from perisphere.encoder.encoder import Encoder
    from perisphere.encoder.inference import Inference
    from perisphere.encoder.preprocessing import Preprocessing
    from perisphere.encoder.scales import Scales
    from perisphere.encoder.whitening import Whitening

__all__ = ["Embeddings", "Encoder", "Inference", "Preprocessing", "Scales", "Whitening", "embed"]

_HOMES = {
    "Embeddings": "embeddings",
    "Encoder": "encoder",
    "Inference": "inference",
    "Preprocessing": "preprocessing",
    "Scales": "scales",
    "Whitening": "whitening",
    "embed": "embed_catalog",
}


def __getattr__(name: str) -> Any:
    """Import on first use: whoever reads Embeddings need not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
