"""Method ``label_embedding``: the network learns which classes are alike, and to answer accordingly.

Source: Sun et al., "Label embedding network", 2017 (arXiv:1710.10393), as a comparison method of Barz and
Denzler, WACV 2019: both outputs stand on ReLU and batch normalisation of the embedding.
"""

from typing import Any

import torch
from torch import Tensor, nn

from perisphere.losses import label_embedding
from perisphere.methods.supervised import Supervised, accuracy
from perisphere.nets import EmbeddingNet


class LabelEmbeddings(nn.Module):
    """What label embedding needs on top of the embedding: two outputs, and a label embedding of each class.

    Args:
        dim: length of an embedding.
        classes: number of classes.
    """

    weight_decay = 0.0

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.ReLU(), nn.BatchNorm1d(dim, eps=1e-3))
        self.output = nn.Linear(dim, classes)
        self.side_output = nn.Linear(dim, classes)
        self.labels = nn.Parameter(torch.eye(classes))

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of both outputs, ``[n, classes]``; no gradient passes through the second."""
        vectors = self.trunk(vectors)
        return self.output(vectors), self.side_output(vectors.detach())


class LabelEmbedding(Supervised):
    """The loss of the label embedding network; ``accuracy`` is that of the first output.

    Args:
        net: images to embeddings.
        head: outputs and label embeddings.
        tau: see :func:`perisphere.losses.label_embedding`.
        alpha: see there.
        beta: see there.
        prepared: ``prepare`` and ``optimise`` of :class:`~perisphere.methods.supervised.Supervised`.
    """

    def __init__(
        self,
        net: EmbeddingNet,
        head: LabelEmbeddings,
        *,
        tau: float = 2.0,
        alpha: float = 0.9,
        beta: float = 0.5,
        **prepared: Any,
    ) -> None:
        super().__init__(net, **prepared)
        self.head, self.tau, self.alpha, self.beta = head, tau, alpha, beta

    def logits(self, images: Tensor) -> Tensor:
        """See :meth:`Supervised.logits`; of the first output."""
        return self.head(self.net(images))[0]

    def judge(self, images: Tensor, targets: Tensor, training: bool) -> dict[str, Tensor]:
        """See :meth:`Supervised.judge`."""
        logits, side_logits = self.head(self.net(images))
        loss = label_embedding(
            logits, side_logits, self.head.labels, targets, tau=self.tau, alpha=self.alpha, beta=self.beta
        )
        return {"loss": loss, "accuracy": accuracy(logits, targets)}
