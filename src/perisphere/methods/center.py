"""Method ``center``: a softmax classifier whose embeddings are drawn to a centre of their class.

Source: Wen et al., "A discriminative feature learning approach for deep face recognition", ECCV 2016, as a
comparison method of Barz and Denzler, WACV 2019: the classifier stands on ReLU and batch normalisation of the
embedding, and centres are learned by gradient, or are given class points.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from perisphere.losses import center
from perisphere.methods.supervised import Supervised, accuracy
from perisphere.nets import EmbeddingNet, SemanticClassifier


class Centers(nn.Module):
    """What center loss needs on top of the embedding: a classifier, and a centre of each class.

    Args:
        dim: length of an embedding.
        classes: number of classes.
        points: float ``[classes, dim]``, fixed centres; ``None`` learns them, from uniform draws in
            -0.05..0.05.
    """

    centers: Tensor
    weight_decay = 0.0

    def __init__(self, dim: int, classes: int, points: Tensor | None = None) -> None:
        super().__init__()
        self.classifier = SemanticClassifier(dim, classes)
        self.classifier.weight_decay = 0.0  # as published
        if points is None:
            self.centers = nn.Parameter(torch.empty(classes, dim).uniform_(-0.05, 0.05))
        else:
            self.register_buffer("centers", points.float())


class Center(Supervised):
    """Cross-entropy of the classifier plus weighted center loss; ``accuracy`` is the classifier's.

    Args:
        net: images to embeddings.
        head: classifier and centres.
        weight: of the center loss.
        prepared: ``prepare`` and ``optimise`` of :class:`~perisphere.methods.supervised.Supervised`.
    """

    figures = ("loss", "accuracy", "center_loss")

    def __init__(self, net: EmbeddingNet, head: Centers, *, weight: float = 0.1, **prepared: Any) -> None:
        super().__init__(net, **prepared)
        self.head, self.weight = head, weight

    def logits(self, images: Tensor) -> Tensor:
        """See :meth:`Supervised.logits`."""
        return self.head.classifier(self.net(images))

    def judge(self, images: Tensor, targets: Tensor, training: bool) -> dict[str, Tensor]:
        """See :meth:`Supervised.judge`."""
        vectors = self.net(images)
        logits = self.head.classifier(vectors)
        apart = center(vectors, self.head.centers, targets)
        loss = functional.cross_entropy(logits, targets) + self.weight * apart
        return {"loss": loss, "accuracy": accuracy(logits, targets), "center_loss": apart}
