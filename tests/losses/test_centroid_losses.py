import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from perisphere.errors import PerisphereError
from perisphere.losses import batch_hard, centroid_triplet, class_centers


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden/centroids.json").read_text())["losses"]


class Case:
    """One entry of the worked losses, as tensors."""

    def __init__(self, entry):
        self.entry = entry
        self.vectors = torch.tensor(entry["features"], requires_grad=True)
        self.labels, self.real = torch.tensor(entry["labels"]), torch.tensor(entry["is_real"])
        self.instances = entry["instances"]


@pytest.fixture(params=["full", "padded"])
def case(golden, request):
    return Case(golden[request.param])


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_centroid_triplet_gives_the_worked_values(case, distance):
    entry = case.entry[f"ctl_{distance}"]
    of_photos = batch_hard(case.vectors, case.labels, margin=0.5, distance=distance, anchors=case.real).loss
    found = centroid_triplet(
        case.vectors, case.labels, case.real, case.instances, margin=0.5, distance=distance
    )
    (of_photos + found.loss).backward()
    assert of_photos.item() == pytest.approx(entry["query_triplet"], abs=1e-6)
    assert found.loss.item() == pytest.approx(entry["centroid_triplet"], abs=1e-6)
    np.testing.assert_allclose(case.vectors.grad, entry["gradient_of_sum"], atol=2e-6)
    assert found.positive.item() == pytest.approx(entry["step_dist_ap"], abs=1e-6)
    assert found.negative.item() == pytest.approx(entry["step_dist_an"], abs=1e-6)
    assert found.norm.item() == pytest.approx(entry["l2_mean_centroid"], abs=1e-6)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_batch_hard_gives_the_worked_values(case, distance):
    entry = case.entry[f"triplet_margin_0.3_{distance}"]
    found = batch_hard(case.vectors, case.labels, margin=0.3, distance=distance)
    assert found.loss.item() == pytest.approx(entry["loss"], abs=1e-6)
    np.testing.assert_allclose(found.positive, entry["dist_ap"], atol=2e-6)
    np.testing.assert_allclose(found.negative, entry["dist_an"], atol=2e-6)


def test_soft_margin_gives_the_worked_value(case):
    found = batch_hard(case.vectors, case.labels, margin=None)
    assert found.loss.item() == pytest.approx(case.entry["triplet_soft_margin_euclidean"], abs=1e-6)


def test_center_loss_gives_the_worked_value(case):
    entry = case.entry["center_loss"]
    loss = class_centers(case.vectors, torch.tensor(entry["centers"]), case.labels)
    assert loss.item() == pytest.approx(entry["loss"], rel=1e-6)


def test_label_smoothing_gives_the_worked_value(case):
    entry = case.entry["label_smoothing_0.1"]
    loss = functional.cross_entropy(torch.tensor(entry["logits"]), case.labels, label_smoothing=0.1)
    assert loss.item() == pytest.approx(entry["loss"], abs=1e-6)


def test_batch_hard_by_hand():
    # On a line: 0 and 3 of one label, 4 and 10 of another. Distances (farthest positive, nearest negative):
    # (3, 4), (3, 1), (6, 1), (6, 7).
    vectors, labels = torch.tensor([[0.0], [3.0], [4.0], [10.0]]), torch.tensor([7, 7, 2, 2])
    found = batch_hard(vectors, labels, margin=2)
    assert found.positive.tolist() == [3, 3, 6, 6]
    assert found.negative.tolist() == [4, 1, 1, 7]
    assert found.loss.item() == pytest.approx((1 + 4 + 7 + 1) / 4)
    soft = [math.log1p(math.exp(x)) for x in (-1, 2, 5, -1)]
    assert batch_hard(vectors, labels, margin=None).loss.item() == pytest.approx(sum(soft) / 4)
    # The photo at 4 is not there: it is no anchor, and nobody's positive or negative.
    there = torch.tensor([True, True, False, True])
    masked = batch_hard(vectors, labels, margin=2, anchors=there, present=there)
    assert masked.loss.item() == pytest.approx(0)
    assert masked.negative.tolist() == [10, 7, 0, 7]
    # As published it is no anchor, but still the nearest negative.
    assert batch_hard(vectors, labels, margin=2, anchors=there).negative.tolist() == [4, 1, 0, 7]


def test_centroid_triplet_by_hand():
    # Two identities with two photos each on a line: 1, 3 and 4, 8. The queries of the first problem are 1 and
    # 4, its centroids 3 and 8; in the second it is the other way round.
    vectors, labels = torch.tensor([[1.0], [3.0], [4.0], [8.0]]), torch.tensor([1, 1, 5, 5])
    found = centroid_triplet(vectors, labels, torch.ones(4).bool(), 2, margin=1.0)
    # Anchors 1, 4, 3, 8 have positives at 2, 4, 2, 4 and negatives at 3, 1, 1, 5.
    assert found.loss.item() == pytest.approx((0 + 4 + 2 + 0) / 4)
    assert found.positive.item() == pytest.approx(3)
    assert found.negative.item() == pytest.approx(2.5)
    assert found.norm.item() == pytest.approx((3 + 8 + 1 + 4) / 4)
    # A centroid at the origin is missing: the second problem has one identity left, and does not count.
    vectors[0] = 0
    found = centroid_triplet(vectors, labels, torch.ones(4).bool(), 2, margin=1.0)
    assert found.loss.item() == pytest.approx((0 + 4 + 3 + 0) / 4)
    assert found.norm.item() == pytest.approx((3 + 8) / 2)


def looped(vectors, labels, real, instances, margin, distance):
    """The definition, one query at a time, in double precision."""
    losses = []
    for k in range(instances):
        points, names = [], []
        for start in range(0, len(vectors), instances):
            others = [j for j in range(start, start + instances) if j != start + k and real[j]]
            if real[start + k] and others and vectors[others].mean(0).abs().sum() > 1e-7:
                points += [vectors[start + k], vectors[others].mean(0)]
                names += [int(labels[start])] * 2
        if len(set(names)) < 2:
            continue
        each = []
        for point, name in zip(points, names, strict=True):
            apart = [_apart(point, other, distance) for other in points]
            positive = max(a for a, n in zip(apart, names, strict=True) if n == name)
            negative = min(a for a, n in zip(apart, names, strict=True) if n != name)
            step = positive - negative
            each.append(torch.log1p(step.exp()) if margin is None else (step + margin).clamp(min=0))
        losses.append(torch.stack(each).mean())
    return torch.stack(losses).mean() if losses else vectors.sum() * 0


def _apart(a, b, distance):
    if distance == "euclidean":
        return ((a - b) ** 2).sum().clamp(min=1e-12).sqrt()
    return (1 - functional.cosine_similarity(a, b, dim=0)).abs().clamp(min=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    identities=st.integers(1, 5),
    instances=st.integers(2, 5),
    share=st.sampled_from([0.2, 0.6, 1.0]),
    margin=st.sampled_from([None, 0.5]),
    distance=st.sampled_from(["euclidean", "cosine"]),
)
def test_the_batched_loss_is_the_looped_definition(seed, identities, instances, share, margin, distance):
    draw = torch.Generator().manual_seed(seed)
    count = identities * instances
    vectors = torch.randn(count, 3, generator=draw, dtype=torch.float64, requires_grad=True)
    real = torch.rand(count, generator=draw) < share
    labels = torch.arange(identities).repeat_interleave(instances)
    loss = centroid_triplet(vectors, labels, real, instances, margin=margin, distance=distance).loss
    wanted = looped(vectors, labels, real, instances, margin, distance)
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-9)
    gradient, expected = (torch.autograd.grad(value, vectors)[0] for value in (loss, wanted))
    np.testing.assert_allclose(gradient, expected, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), distance=st.sampled_from(["euclidean", "cosine"]))
def test_rotations_and_the_order_of_identities_change_nothing(seed, distance):
    draw = torch.Generator().manual_seed(seed)
    vectors = torch.randn(12, 6, generator=draw, dtype=torch.float64)
    real = torch.rand(12, generator=draw) < 0.8
    labels = torch.arange(3).repeat_interleave(4)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=draw, dtype=torch.float64)).Q
    order = torch.randperm(3, generator=draw)[:, None] * 4 + torch.arange(4)
    for rows, moved in ((order.flatten(), vectors), (slice(None), vectors @ turn)):
        for of in (
            lambda v, n, r: centroid_triplet(v, n, r, 4, distance=distance).loss,
            lambda v, n, r: batch_hard(v, n, distance=distance, anchors=r).loss,
        ):
            before, after = of(vectors, labels, real), of(moved[rows], labels[rows], real[rows])
            assert after.item() == pytest.approx(before.item(), abs=1e-9)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("margin", [None, 0.5])
@pytest.mark.parametrize("kind", ["one identity", "nothing real", "all the same", "all zero"])
def test_gradients_stay_finite_where_there_is_nothing_to_compare(kind, margin, distance):
    vectors = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    labels, real = torch.arange(2).repeat_interleave(4), torch.ones(8).bool()
    if kind == "one identity":
        labels = torch.zeros(8)
    elif kind == "nothing real":
        real = ~real
    else:
        vectors = torch.ones(8, 5) if kind == "all the same" else torch.zeros(8, 5)
    vectors.requires_grad_()
    loss = centroid_triplet(vectors, labels, real, 4, margin=margin, distance=distance).loss
    loss = loss + batch_hard(vectors, labels, margin=margin, distance=distance, anchors=real).loss
    loss.backward()
    assert loss.isfinite()
    assert vectors.grad.isfinite().all()
    if kind in ("one identity", "nothing real"):
        assert loss.item() == 0


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_what_is_no_number_shows_in_the_losses(broken, distance):
    vectors = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    vectors[3, 2] = broken
    labels, real = torch.arange(2).repeat_interleave(4), torch.ones(8).bool()
    assert not batch_hard(vectors, labels, distance=distance).loss.isfinite()
    assert not centroid_triplet(vectors, labels, real, 4, distance=distance).loss.isfinite()


def test_half_precision_is_compared_in_single(golden):
    case = Case(golden["padded"])
    halves = case.vectors.detach().bfloat16()
    plain = centroid_triplet(halves.float(), case.labels, case.real, 4).loss
    with torch.autocast("cpu", torch.bfloat16):
        assert centroid_triplet(halves, case.labels, case.real, 4).loss.item() == plain.item()
        found = batch_hard(halves, case.labels).loss
    assert found.dtype == torch.float32
    assert found.item() == batch_hard(halves.float(), case.labels).loss.item()


def test_gradients_are_in_single_precision_where_products_are_not(golden):
    case = Case(golden["full"])
    vectors = case.vectors.detach().requires_grad_()
    (plain,) = torch.autograd.grad(centroid_triplet(vectors, case.labels, case.real, 4).loss, vectors)
    with torch.autocast("cpu", torch.bfloat16):
        (within,) = torch.autograd.grad(centroid_triplet(vectors, case.labels, case.real, 4).loss, vectors)
    assert torch.equal(plain, within)


@pytest.mark.parametrize(("rows", "instances"), [(7, 2), (4, 1)])
def test_rows_that_are_no_whole_identities_are_refused(rows, instances):
    with pytest.raises(PerisphereError, match="whole number of identities"):
        centroid_triplet(torch.zeros(rows, 2), torch.zeros(rows), torch.ones(rows).bool(), instances)
