"""Classification layers on top of an embedding, for training."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LinearClassifier(nn.Linear):
    """Logits as an affine function of the embedding.

    Args:
        dim: length of an embedding.
        classes: number of classes.
        bias: whether each class has an offset.
    """

    def __init__(self, dim: int, classes: int, bias: bool = True) -> None:
        super().__init__(dim, classes, bias=bias)


class CosineClassifier(nn.Module):
    """Logits as the scaled cosine of the angle between the embedding and a learned centre of each class.

    Source: Wang et al., "NormFace", ACM MM 2017.

    Args:
        dim: length of an embedding.
        classes: number of classes.
        scale: factor of the cosines.
        learned: whether ``scale`` is trained.
    """

    scale: Tensor

    def __init__(self, dim: int, classes: int, scale: float = 30.0, learned: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, dim))
        nn.init.xavier_uniform_(self.weight)
        if learned:
            self.scale = nn.Parameter(torch.tensor(float(scale)))
        else:
            self.register_buffer("scale", torch.tensor(float(scale)))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return logits ``[n, classes]`` of embeddings ``[n, dim]`` (normalised here)."""
        return self.scale * F.linear(F.normalize(embeddings, dim=-1), F.normalize(self.weight, dim=-1))


class SemanticClassifier(nn.Sequential):
    """Logits of an embedding that has its place already: ReLU, batch normalisation, dense layer.

    Source: Barz and Denzler, "Hierarchy-based image embeddings for semantic image retrieval", WACV 2019, with
    the published program's epsilon of 1e-3, and its L2 penalty of 5e-4 on the dense layer alone, which is a
    weight decay of twice that.

    Args:
        dim: length of an embedding.
        classes: number of classes.

    Attributes:
        weight_decay: of the dense layer's weights, in place of the optimiser's.
    """

    weight_decay = 1e-3

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__(nn.ReLU(), nn.BatchNorm1d(dim, eps=1e-3), nn.Linear(dim, classes))
