import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.nets.same_padding import SameConv2d, same_avg_pool, same_max_pool, same_padding


def windows(x, kernel, stride):
    """Each window of a plane by the rule's definition: the odd position is missing at the far end."""
    side = x.shape[-1]
    outputs = -(-side // stride)
    before = max((outputs - 1) * stride + kernel - side, 0) // 2
    for row in range(outputs):
        for column in range(outputs):
            top, left = row * stride - before, column * stride - before
            inside = x[..., max(top, 0) : top + kernel, max(left, 0) : left + kernel]
            yield row, column, max(-top, 0), max(-left, 0), inside


@settings(deadline=None, max_examples=40)
@given(side=st.integers(2, 9), kernel=st.sampled_from([1, 3, 5, 7]), stride=st.integers(1, 3))
def test_convolution_and_pooling_are_their_definitions(side, kernel, stride):
    torch.manual_seed(side)
    x = torch.randn(1, 2, side, side, dtype=torch.float64)
    layer = SameConv2d(2, 3, kernel, stride).double()
    torch.nn.init.normal_(layer.weight)
    out, highest, mean = layer(x), same_max_pool(x, kernel, stride), same_avg_pool(x, kernel, stride)
    assert out.shape[-1] == highest.shape[-1] == mean.shape[-1] == -(-side // stride)
    for row, column, top, left, inside in windows(x, kernel, stride):
        height, width = inside.shape[-2:]
        part = layer.weight[:, :, top : top + height, left : left + width]
        torch.testing.assert_close(out[0, :, row, column], (part * inside).sum(dim=(1, 2, 3)))
        torch.testing.assert_close(highest[0, :, row, column], inside.amax(dim=(-2, -1))[0])
        torch.testing.assert_close(mean[0, :, row, column], inside.mean(dim=(-2, -1))[0])


@pytest.mark.parametrize(("side", "expected"), [(32, (0, 1, 0, 1)), (33, (1, 1, 1, 1))])
def test_an_even_side_is_padded_at_the_far_end_alone(side, expected):
    assert same_padding(side, side, 3, 2) == expected
