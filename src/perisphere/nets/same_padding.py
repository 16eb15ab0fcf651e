"""Convolution and pooling with "same" padding: ``ceil(side / stride)`` outputs, the odd zero at the far end.

Weights that were trained with this rule (TensorFlow's) see other pixels under padding of ``kernel // 2`` on
both sides wherever the stride is 2 and the side is even.
"""

from torch import Tensor, nn
from torch.nn import functional as F


def same_padding(height: int, width: int, kernel: int, stride: int) -> tuple[int, int, int, int]:
    """Return what :func:`torch.nn.functional.pad` adds: left, right, top, bottom."""
    totals = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in (width, height)]
    return totals[0] // 2, totals[0] - totals[0] // 2, totals[1] // 2, totals[1] - totals[1] // 2


class SameConv2d(nn.Conv2d):
    """A convolution without offset whose map has ``ceil(side / stride)`` positions a side.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the kernel, odd.
        stride: of the positions.
        groups: see :class:`torch.nn.Conv2d`.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        # With a stride of 1 the two rules are one, and torch's own padding needs no copy.
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)

    def reset_parameters(self) -> None:
        """Leave the weights to :func:`~perisphere.nets.backbone.initialise`, which draws them all."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, outputs, ceil(h / stride), ceil(w / stride)]`` of ``[n, inputs, h, w]``."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride > 1 and kernel > 1:
            x = F.pad(x, same_padding(x.shape[-2], x.shape[-1], kernel, stride))
        return super().forward(x)


def same_max_pool(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Return the maximum in each window; what was padded never wins."""
    padding = same_padding(x.shape[-2], x.shape[-1], kernel, stride)
    return F.max_pool2d(F.pad(x, padding, value=float("-inf")), kernel, stride)


def same_avg_pool(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Return the mean of those positions of each window that lie on the map."""
    padding = same_padding(x.shape[-2], x.shape[-1], kernel, stride)
    inside = F.pad(x.new_ones(1, 1, *x.shape[-2:]), padding)
    return F.avg_pool2d(F.pad(x, padding), kernel, stride) / F.avg_pool2d(inside, kernel, stride)
