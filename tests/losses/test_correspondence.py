import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, grid_sample

from perisphere.errors import PerisphereError
from perisphere.losses import Correspondence, Negatives, correspondence, draw_negatives, sample_features

KINDS: dict[str, Correspondence] = {
    "contrastive_easy": "contrastive",
    "contrastive": "contrastive_within",
    "triplet": "triplet",
    "mse": "squared",
}
DOUBLE = torch.float64


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def padded(given: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, Negatives]:
    """Points, which of them are real, and the negatives of a golden entry, with two places too many."""
    pairs = given["correspondences"]
    most = max(map(len, pairs)) + 2
    points, real = torch.zeros(len(pairs), most, 4, dtype=DOUBLE), torch.zeros(len(pairs), most, dtype=bool)
    for number, pair in enumerate(pairs):
        points[number, : len(pair)] = torch.tensor(list(pair.values()), dtype=DOUBLE).reshape(-1, 4)
        real[number, : len(pair)] = True
    count = max([len(each.get("negative_row_col", [])) for each in given["negatives"]], default=2)
    images = torch.arange(len(pairs))[:, None].repeat(1, count)
    places = torch.zeros(len(pairs), most, count, 2, dtype=DOUBLE)
    for each in given["negatives"]:
        assert each["keypoint_order"] == list(pairs[each["pair"]])
        found = torch.tensor(each.get("negative_row_col", []), dtype=DOUBLE)  # [negative, point, 2]
        if not len(found):
            continue
        places[each["pair"], : found.shape[1]] = found.transpose(0, 1)
        images[each["pair"]] = torch.tensor(each.get("negative_image", [each["pair"]] * count))
    return points, real, Negatives(images, places)


def test_published_values_and_gradients(shared: Path) -> None:
    cases = json.loads((shared / "golden/wikiscenes.json").read_text())["correspondence_loss"]
    assert len(cases) == 9
    for case in cases:
        given, expected = case["inputs"], case["outputs"]
        features = torch.tensor(given["features"], dtype=DOUBLE).requires_grad_()
        points, real, negatives = padded(given)
        assert int(real.sum()) == expected["keypoints"]
        loss = correspondence(
            features,
            points,
            real,
            kind=KINDS[given["mode"]],
            negatives=negatives,
            tau=given["tau"],
            normalise=given["normalize"],
            margin=given["triplet_margin"],
            align_corners=given["align_corners"],
        )
        assert float(loss.detach()) == pytest.approx(expected["loss_sum_over_pairs"], abs=1e-8)
        learned = given["pretrain"] < 0 or given["epoch"] < given["pretrain"]
        weighted = loss * (given["weight"] / given["batch_size"] * learned)
        assert float(weighted.detach()) == pytest.approx(expected["weighted_loss"], abs=1e-8)
        weighted.backward()
        gradient = torch.tensor(expected["gradient"], dtype=DOUBLE)
        torch.testing.assert_close(features.grad, gradient, atol=1e-8, rtol=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.booleans(), st.integers(0, 99))
def test_sampling_is_that_of_grid_sample(h: int, w: int, align_corners: bool, seed: int) -> None:
    features = drawn(3, 4, h, w, seed=seed).requires_grad_()
    places = drawn(3, 7, 2, seed=seed + 1) * 1.6 - 0.3  # some lie outside
    grid = (places.flip(-1) * 2 - 1)[:, None]
    expected = grid_sample(features, grid, align_corners=align_corners)[:, :, 0].transpose(1, 2).flatten(0, 1)
    images = torch.arange(3).repeat_interleave(7)
    found = sample_features(features, images, places.flatten(0, 1), align_corners)
    torch.testing.assert_close(found, expected)
    weights = drawn(*found.shape, seed=seed + 2)
    gradients = [torch.autograd.grad((each * weights).sum(), features)[0] for each in (found, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("kind", KINDS.values())
def test_padding_places_and_pairs_without_points_change_nothing(kind: Correspondence) -> None:
    features, points = drawn(8, 5, 4, 6, seed=3) - 0.5, drawn(4, 6, 4, seed=4)
    real = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0] * 6, [1, 0, 0, 0, 0, 0]], dtype=bool)
    negatives = draw_negatives(kind, points, 4, generator=torch.Generator().manual_seed(5))
    options: dict[str, Any] = {"kind": kind, "negatives": negatives}
    loss = correspondence(features, points, real, **options)
    changed = torch.where(real[..., None], points, torch.nan)
    torch.testing.assert_close(correspondence(features, changed, real, **options), loss)
    one = torch.zeros_like(real)
    sums = []
    for pair in range(4):
        one.zero_()
        one[pair] = real[pair]
        sums.append(correspondence(features, points, one, **options))
    torch.testing.assert_close(torch.stack(sums).sum(), loss)
    assert sums[2] == 0
    assert (sums[3] == 0) == kind.startswith("contrastive")  # a single point is told from nothing


def test_contrastive_loss_by_hand() -> None:
    features = drawn(4, 3, 2, 2, seed=1)
    points = torch.tensor([[[0, 0, 1, 1], [1, 0, 0, 1]]] * 2, dtype=DOUBLE)
    negatives = Negatives(
        torch.tensor([[1, 0]] * 2),
        torch.tensor([[[[0, 0], [1, 0]], [[0, 1], [1, 1]]]] * 2, dtype=DOUBLE),
    )
    unit = features / (features.norm(dim=1, keepdim=True) + 1e-6)
    expected = torch.zeros((), dtype=DOUBLE)
    for pair in range(2):
        query = torch.stack([unit[pair, :, 0, 0], unit[pair, :, 1, 0]])
        others = [
            torch.stack([unit[2 + pair, :, 1, 1], unit[3, :, 0, 0], unit[2, :, 1, 0]]),
            torch.stack([unit[2 + pair, :, 0, 1], unit[3, :, 0, 1], unit[2, :, 1, 1]]),
        ]
        logits = torch.stack([each @ q for each, q in zip(others, query, strict=True)]) / 0.2
        expected += cross_entropy(logits, torch.zeros(2, dtype=torch.long))
    loss = correspondence(features, points, torch.ones(2, 2, dtype=bool), negatives=negatives, tau=0.2)
    torch.testing.assert_close(loss, expected)


def test_learning_brings_points_together() -> None:
    features = (drawn(4, 8, 6, 6) - 0.5).requires_grad_()
    points, real = drawn(2, 9, 4, seed=1), torch.ones(2, 9, dtype=bool)
    draw = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam([features], 0.05)
    losses = []
    for _ in range(60):
        loss = correspondence(
            features, points, real, negatives=draw_negatives("contrastive", points, generator=draw)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.3 * sum(losses[:5])


def test_vectors_of_zeros_have_finite_gradients() -> None:
    points, real = drawn(2, 3, 4, seed=1), torch.ones(2, 3, dtype=bool)
    for kind in KINDS.values():
        features = torch.zeros(4, 5, 3, 3, requires_grad=True)
        negatives = draw_negatives(kind, points, 3, generator=torch.Generator().manual_seed(0))
        correspondence(features, points, real, kind=kind, negatives=negatives).backward()
        assert features.grad is not None
        assert features.grad.isfinite().all()


def test_half_precision_is_computed_in_single() -> None:
    features, points = drawn(4, 5, 3, 3) - 0.5, drawn(2, 3, 4, seed=1)
    real, negatives = torch.ones(2, 3, dtype=bool), draw_negatives("contrastive", points)
    rounded = features.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = correspondence(rounded, points, real, negatives=negatives)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(
        loss, correspondence(rounded.float(), points, real, negatives=negatives), rtol=1e-5, atol=0
    )


def test_negatives_are_where_they_are_said_to_be() -> None:
    points = drawn(5, 40, 4)
    seeded = [
        {
            kind: draw_negatives(kind, points, 7, generator=torch.Generator().manual_seed(seed))
            for kind in KINDS.values()
        }
        for seed in (1, 1, 2)
    ]
    for kind, found in seeded[0].items():
        if found is None:
            assert kind == "squared"
            continue
        again, other = seeded[1][kind], seeded[2][kind]
        assert again is not None
        assert other is not None
        assert found.places.equal(again.places)
        assert found.images.equal(again.images)
        assert not found.places.equal(other.places)
        assert found.places.shape == (5, 40, 1 if kind == "triplet" else 7, 2)
    anywhere, within, triplet = (seeded[0][kind] for kind in ("contrastive", "contrastive_within", "triplet"))
    assert anywhere is not None
    assert within is not None
    assert triplet is not None
    assert set(anywhere.images.flatten().tolist()) == set(range(5))
    own = torch.arange(5)[:, None]
    assert (within.images == own).all()
    assert (triplet.images == own).all()
    for places in (anywhere.places, within.places):
        assert ((places >= 0) & (places < 1)).all()
    apart = (within.places - points[:, :, None, 2:]).abs()
    apart = torch.minimum(apart, 1 - apart)  # around the edge
    assert (apart[:, :, :3, 0] >= 0.25 - 1e-6).all()
    assert (apart[:, :, 3:, 1] >= 0.25 - 1e-6).all()
    assert (apart[:, :, :3, 1] < 0.05).any()
    assert (apart[:, :, 3:, 0] < 0.05).any()
    beyond = triplet.places - points[:, :, None, 2:]
    assert ((beyond >= 0) & (beyond < 1)).all()


def test_wrong_input_is_an_error() -> None:
    points, real = drawn(2, 3, 4), torch.ones(2, 3, dtype=bool)
    with pytest.raises(PerisphereError, match="take them from draw_negatives"):
        correspondence(drawn(4, 5, 3, 3), points, real)
    with pytest.raises(PerisphereError, match="give the queries and then their partners"):
        correspondence(drawn(3, 5, 3, 3), points, real, kind="squared")
    with pytest.raises(PerisphereError, match="give 2 or more"):
        draw_negatives("contrastive", points, 1)
