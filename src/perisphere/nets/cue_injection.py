"""Global cue injection: fine features that are told what the whole photo shows.

Source: Araslanov and Roth, "Single-stage semantic segmentation from image labels", CVPR 2020, section 3.4.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from perisphere.nets.conv_block import DilatedConv, conv_block, draw


def inject(features: Tensor, cues: Tensor) -> Tensor:
    """Scale and shift each channel by what the whole photo says (adaptive instance normalisation).

    Args:
        features: ``[n, c, h, w]``, normalised.
        cues: ``[n, 2 c]``, first the scales, of which zero changes nothing, then the shifts.
    """
    scale, shift = cues[:, :, None, None].chunk(2, dim=1)
    return torch.addcmul(shift, features, scale + 1)


class CueInjection(nn.Module):
    """Shallow features with cues from deep ones.

    Args:
        shallow: channels of the shallow features.
        width: channels of the deep features and of the result.
    """

    def __init__(self, shallow: int, width: int = 256) -> None:
        super().__init__()
        self.deep = conv_block(width, 2 * width)
        conv = DilatedConv(shallow, width)
        draw(conv.weight)
        self.shallow = nn.Sequential(conv, nn.BatchNorm2d(width, affine=False))
        self.last = conv_block(width, width)

    def forward(self, shallow: Tensor, deep: Tensor) -> Tensor:
        """Return ``[n, width, h, w]`` of maps of the same sides."""
        cues = self.deep(deep).flatten(2).max(dim=2).values
        return self.last(F.relu(inject(self.shallow(shallow), cues)))
