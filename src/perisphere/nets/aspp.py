"""Atrous spatial pyramid pooling: context of several reaches for each position of a map.

Source: Chen et al., "Rethinking atrous convolution for semantic image segmentation", 2017.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from perisphere.nets.conv_block import conv_block


class ASPP(nn.Module):
    """A 1 x 1 and three dilated 3 x 3 convolutions and the whole map's mean, concatenated and projected.

    Args:
        inputs: channels of the map.
        width: channels of each branch and of the result.
        dilations: of the three 3 x 3 convolutions.
        dropout: of the result.
    """

    def __init__(
        self,
        inputs: int,
        width: int = 256,
        dilations: Sequence[int] = (12, 24, 36),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [conv_block(inputs, width), *(conv_block(inputs, width, 3, reach) for reach in dilations)]
        )
        self.whole = conv_block(inputs, width)
        self.project = conv_block(width * (len(self.branches) + 1), width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``[n, width, h, w]`` of ``[n, inputs, h, w]``; training needs two maps or more."""
        seen = [branch(features) for branch in self.branches]
        whole = self.whole(features.mean((2, 3), keepdim=True)).expand_as(seen[0])
        return self.dropout(self.project(torch.cat([*seen, whole], dim=1)))
