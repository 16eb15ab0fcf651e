import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from perisphere.losses import center, devise, inv_corr, label_embedding, squared_distance, unnorm_corr

POINTS = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
VECTORS = torch.tensor([[3.0, 4.0], [0.0, 2.0]])


def test_inv_corr_by_hand():
    # cosines 0.6 and 0.8
    assert inv_corr(VECTORS, POINTS).item() == pytest.approx((0.4 + 0.2) / 2)


def test_unnorm_corr_by_hand():
    # dot products 3 and 1.6
    assert unnorm_corr(VECTORS, POINTS).item() == pytest.approx((-2 - 0.6) / 2)


def test_squared_distance_by_hand():
    # (2, 4) and (-0.6, 1.2): a sum over dimensions, a mean over images
    assert squared_distance(VECTORS, POINTS).item() == pytest.approx((20 + 1.8) / 2)


def test_devise_by_hand():
    # similarities of the first image 3 (own) and 5, of the second 0 and 1.6 (own)
    loss = devise(VECTORS, POINTS, torch.tensor([0, 1]), margin=0.5)
    assert loss.item() == pytest.approx(((0.5 - 3 + 5) + 0) / 2)
    assert devise(VECTORS, POINTS, torch.tensor([1, 1]), margin=0.5).item() == pytest.approx(0)


def test_center_by_hand():
    assert center(VECTORS, POINTS, torch.tensor([0, 0])).item() == pytest.approx((20 / 2 + 5 / 2) / 2)


def test_center_loss_moves_the_centres_too():
    centers = POINTS.clone().requires_grad_()
    center(VECTORS, centers, torch.tensor([1, 1])).backward()
    assert torch.equal(centers.grad[0], torch.zeros(2))
    torch.testing.assert_close(centers.grad[1], (2 * POINTS[1] - VECTORS.sum(0)) / 2)


@given(st.integers(1, 6), st.integers(2, 5), st.integers(0, 1000))
def test_inv_corr_is_half_the_squared_distance_on_the_sphere(count, dim, seed):
    draw = torch.Generator().manual_seed(seed)
    vectors, points = torch.randn(2, count, dim, generator=draw, dtype=torch.float64)
    vectors, points = functional.normalize(vectors), functional.normalize(points)
    loss = inv_corr(7 * vectors, points)
    assert 0 <= loss.item() <= 2
    assert loss.item() == pytest.approx(squared_distance(vectors, points).item() / 2)


def entropy(weights, logits):
    return -sum(w * math.log(p) for w, p in zip(weights, softmax(logits), strict=True))


def softmax(values):
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def test_label_embedding_by_hand():
    logits, side = [[1.0, 0.0, -1.0], [0.5, 0.5, 2.0]], [[4.0, 0.0, 0.0], [1.0, 0.0, 0.5]]
    labels, targets = [[1.0, 0.2, 0.0], [0.0, 1.0, 0.0], [0.1, 0.0, 1.0]], [0, 2]
    hard = (
        sum(entropy([float(i == t) for i in range(3)], x) for x, t in zip(logits, targets, strict=True)) / 2
    )
    soft = sum(entropy(softmax(labels[t]), x) for x, t in zip(logits, targets, strict=True)) / 2
    beside = (
        sum(entropy([float(i == t) for i in range(3)], x) for x, t in zip(side, targets, strict=True)) / 2
    )
    taught = entropy(softmax([value / 2 for value in side[0]]), labels[0])  # the first one alone is right
    sure = max(softmax(side[0])[0] - 0.9, 0) / 2
    assert sure > 0
    found = label_embedding(*map(torch.tensor, (logits, side, labels, targets)), beta=0.3)
    assert found.item() == pytest.approx(0.3 * hard + 0.7 * soft + beside + taught + sure, rel=1e-5)


def test_label_embeddings_learn_from_the_side_output_alone():
    logits, side, labels = (torch.randn(4, 4, requires_grad=True) for _ in range(3))
    targets = side.argmax(1)
    label_embedding(logits, side, labels, targets).backward()
    own = labels.detach()[targets].requires_grad_()
    functional.cross_entropy(own, (side.detach() / 2).softmax(1)).backward()
    expected = torch.zeros(4, 4).index_add_(0, targets, own.grad)
    torch.testing.assert_close(labels.grad, expected)


def test_label_embedding_stands_a_batch_without_a_right_answer():
    side = torch.tensor([[0.0, 1.0], [0.0, 3.0]])
    loss = label_embedding(torch.zeros(2, 2), side, torch.eye(2), torch.tensor([0, 0]))
    assert math.isfinite(loss.item())
