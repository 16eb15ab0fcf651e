import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError
from perisphere.losses import contrastive, triplet
from perisphere.losses.tuples import query_of

LOSSES = {"contrastive": contrastive, "triplet": triplet}


@pytest.mark.parametrize("name", LOSSES)
def test_published_values_and_gradients(name: str, shared: Path) -> None:
    cases = json.loads((shared / "golden/landmarks.json").read_text())["cases"]["losses"]
    assert len(cases) == 2
    for case in cases:
        given, expected = case["inputs"], case["outputs"][name]
        columns = torch.tensor(given["vectors_d_by_n"], dtype=torch.float64)
        vectors = columns.T.clone().requires_grad_()
        labels = torch.tensor(given["label"])
        loss = LOSSES[name](vectors, labels, margin=given[f"{name}_margin"])
        loss.backward()
        assert float(loss.detach()) == pytest.approx(expected["loss"], abs=1e-8)
        assert vectors.grad is not None
        torch.testing.assert_close(
            vectors.grad.T, torch.tensor(expected["gradient"], dtype=torch.float64), atol=1e-8, rtol=0
        )


def tuples(count: int, negatives: int, seed: int, dim: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(count * (2 + negatives), dim, generator=draw, dtype=torch.float64)
    labels = torch.tensor(([-1, 1] + [0] * negatives) * count)
    return torch.nn.functional.normalize(rows), labels


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(0, 4), st.integers(0, 99), st.floats(0.05, 1.5))
def test_the_loss_of_a_batch_is_the_sum_over_its_tuples(
    count: int, negatives: int, seed: int, margin: float
) -> None:
    vectors, labels = tuples(count, negatives, seed)
    width = 2 + negatives
    for loss in LOSSES.values():
        parts = [
            loss(vectors[at : at + width], labels[at : at + width], margin=margin)
            for at in range(0, len(labels), width)
        ]
        torch.testing.assert_close(loss(vectors, labels, margin=margin), torch.stack(parts).sum())


def test_by_hand() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], dtype=torch.float64)
    labels = torch.tensor([-1, 1, 0])
    apart = 0.8**0.5
    assert float(contrastive(vectors, labels, margin=1.0)) == pytest.approx(
        1 + (1 - apart) ** 2 / 2, abs=1e-5
    )
    assert float(triplet(vectors, labels, margin=0.1)) == pytest.approx(2 - 0.8 + 0.1)


def test_nothing_wrong_is_no_loss_and_equal_vectors_have_finite_gradients() -> None:
    same = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([-1, 1, 0])
    for loss in LOSSES.values():
        value = loss(same, labels, margin=0.5)
        assert float(value.detach()) == pytest.approx(0, abs=1e-11)
        (gradient,) = torch.autograd.grad(value, same)
        assert gradient.isfinite().all()


def test_wrong_labels_are_errors() -> None:
    vectors, _ = tuples(1, 1, 0)
    with pytest.raises(PerisphereError, match="first row must be a query"):
        contrastive(vectors, torch.tensor([1, -1, 0]))
    with pytest.raises(PerisphereError, match="give -1 for a query"):
        contrastive(vectors, torch.tensor([-1, 1, 2]))
    for labels in ([-1, 0, 0], [-1, 1, 1]):
        with pytest.raises(PerisphereError, match="exactly one positive"):
            triplet(vectors, torch.tensor(labels))


def test_query_of() -> None:
    assert query_of(torch.tensor([-1, 1, 0, -1, -1, 0])).tolist() == [0, 0, 0, 3, 4, 4]
