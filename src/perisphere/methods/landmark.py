"""Method ``landmark``: a network learns to tell the classes apart, and its embedding then serves retrieval.

Source: classification fine-tuning for retrieval, Babenko et al., "Neural codes for image retrieval",
ECCV 2014.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from perisphere.methods.supervised import Supervised, accuracy
from perisphere.nets import EmbeddingNet


class Landmark(Supervised):
    """Cross-entropy over classes on the embedding.

    Args:
        net: images to embeddings; what remains after training.
        classifier: embeddings ``[n, dim]`` to logits ``[n, classes]``; thrown away after training.
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al. 2016); validation
            goes without.
        prepared: ``prepare`` and ``optimise`` of :class:`~perisphere.methods.supervised.Supervised`.
    """

    def __init__(
        self, net: EmbeddingNet, classifier: nn.Module, *, label_smoothing: float = 0.0, **prepared: Any
    ) -> None:
        super().__init__(net, **prepared)
        self.classifier, self.label_smoothing = classifier, label_smoothing

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[n, classes]``."""
        return self.classifier(self.net(images))

    def logits(self, images: Tensor) -> Tensor:
        """See :meth:`Supervised.logits`."""
        return self(images)

    def judge(self, images: Tensor, targets: Tensor, training: bool) -> dict[str, Tensor]:
        """See :meth:`Supervised.judge`."""
        logits = self(images)
        smoothing = self.label_smoothing if training else 0.0
        loss = functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        return {"loss": loss, "accuracy": accuracy(logits, targets)}
