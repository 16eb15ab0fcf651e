import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from perisphere.errors import PerisphereError
from perisphere.losses import class_loss, labelled_masks, mask_loss, pseudo_masks, rarities

NAMES = {
    "CrossEntropy": "cross_entropy",
    "SoftMargin": "soft_margin",
    "Hinge": "hinge",
    "Separate": "separate",
}


def golden(shared: Path, group: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((shared / "golden/wikiscenes.json").read_text())[group]
    return cases


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_published_pseudo_masks(shared: Path) -> None:
    cases = golden(shared, "pseudo_mask")
    assert len(cases) == 2
    for case in cases:
        given = dict(case["inputs"])
        masks = torch.tensor(given.pop("mask"))
        found = pseudo_masks(
            masks, foreground=given.pop("cutoff_top", 0.6), floor=given.pop("cutoff_low", 0.2)
        )
        assert not given
        assert found.equal(torch.tensor(case["outputs"]["pseudo"], dtype=torch.float32))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_pixel_belongs_to_one_channel_at_most_and_is_above_its_threshold(
    seed: int, background: float, foreground: float, floor: float
) -> None:
    masks = drawn(2, 3, 4, 5, seed=seed).mul(2).softmax(1)
    found = pseudo_masks(masks, background, foreground, floor)
    assert set(found.unique().tolist()) <= {0.0, 1.0}
    assert (found.sum(1) <= 1).all()
    for image in range(2):
        for channel in range(3):
            share = foreground if channel else background
            plane = masks[image, channel]
            chosen = plane[found[image, channel] == 1]
            assert (chosen > max(floor, share * float(plane.max()))).all()


def test_masks_of_classes_that_are_not_shown_are_zero() -> None:
    masks = drawn(2, 3, 2, 2).softmax(1)
    kept = labelled_masks(masks, torch.tensor([[1, 0], [0, 0]]))
    assert kept[:, 0].equal(masks[:, 0])
    assert kept[0, 1].equal(masks[0, 1])
    assert not kept[0, 2].any()
    assert not kept[1, 1:].any()


def test_published_mask_loss(shared: Path) -> None:
    cases = golden(shared, "mask_loss")
    assert len(cases) == 1
    for case in cases:
        given, expected = case["inputs"], case["outputs"]
        maps = torch.tensor(given["logits"], dtype=torch.float64)
        pseudo, labels = torch.tensor(given["pseudo"]).double(), torch.tensor(given["labels"])
        losses = mask_loss(maps, pseudo, labels)
        torch.testing.assert_close(
            losses, torch.tensor(expected["loss_per_image"], dtype=torch.float64), atol=1e-8, rtol=0
        )
        plain = mask_loss(maps, pseudo, labels, balanced=False).mean()
        assert float(plain) == pytest.approx(expected["loss_unbalanced_mean"], abs=1e-8)


def pseudo(*channels: list[list[int]]) -> torch.Tensor:
    return torch.tensor([list(channels)], dtype=torch.float64)


def test_mask_loss_by_hand() -> None:
    maps = drawn(1, 2, 1, 4).requires_grad_()
    labels = torch.tensor([[1]])
    sure = pseudo([[1, 1, 0, 0]], [[0, 0, 1, 0]])
    losses = -maps.detach().log_softmax(1)[0, :, 0]
    weights = torch.tensor([1 / 4, 1 / 4, 2 / 4])  # (3 - 2) / 4 twice, (3 - 1) / 4
    expected = (weights * torch.stack([losses[0, 0], losses[0, 1], losses[1, 2]])).sum() / 4
    loss = mask_loss(maps, sure, labels)
    torch.testing.assert_close(loss, expected[None])
    (gradient,) = torch.autograd.grad(loss.sum(), maps)
    assert not gradient[..., 3].any()
    assert gradient[..., :3].all()


def test_an_image_whose_class_vanished_does_not_count() -> None:
    maps = drawn(1, 2, 1, 2).requires_grad_()
    alone = pseudo([[1, 1]], [[0, 0]])
    assert mask_loss(maps, alone, torch.tensor([[1]])).tolist() == [0]
    assert mask_loss(maps, alone, torch.tensor([[1]]), balanced=False) > 0
    nothing = mask_loss(maps, torch.zeros_like(alone), torch.tensor([[1]]), balanced=False)
    (gradient,) = torch.autograd.grad(nothing.sum(), maps)
    assert nothing.tolist() == [0]
    assert not gradient.any()


def test_published_class_losses(shared: Path) -> None:
    cases = golden(shared, "classification_loss")
    assert len(cases) == 2
    for case in cases:
        scores = torch.tensor(case["inputs"]["scores"], dtype=torch.float64)
        labels = torch.tensor(case["inputs"]["labels"])
        for name, expected in case["outputs"].items():
            # The published cross entropy takes the first of several labels, whichever it is.
            loss = class_loss(scores, labels, NAMES[name], primary=labels.float().argmax(1))  # type: ignore[arg-type]
            assert float(loss) == pytest.approx(expected, abs=1e-8), name


def test_images_without_a_label_do_not_count() -> None:
    scores, labels = drawn(4, 10).requires_grad_(), torch.eye(10)[[3, 0, 5, 9]]
    labels[1] = 0
    kept = [0, 2, 3]
    for kind in NAMES.values():
        loss = class_loss(scores, labels, kind)  # type: ignore[arg-type]
        torch.testing.assert_close(loss, class_loss(scores[kept], labels[kept], kind))  # type: ignore[arg-type]
        none = class_loss(scores, torch.zeros_like(labels), kind)  # type: ignore[arg-type]
        (gradient,) = torch.autograd.grad(none, scores)
        assert float(none.detach()) == 0
        assert not gradient.any()


def test_hinge_wants_every_shown_class_above_every_other() -> None:
    scores = torch.tensor([[2.0, 0.5, 1.2]])
    labels = torch.tensor([[True, False, True]])
    assert float(class_loss(scores, labels, "hinge")) == pytest.approx((0 + 0.3) / 3)


def test_the_primary_class_is_the_one_of_cross_entropy() -> None:
    scores, labels = drawn(2, 3), torch.tensor([[1, 1, 0], [0, 0, 1]])
    primary = torch.tensor([1, 2])
    loss = class_loss(scores, labels, primary=primary)
    torch.testing.assert_close(loss, functional.cross_entropy(scores, primary))
    with pytest.raises(PerisphereError, match="give primary"):
        class_loss(scores, labels)


def test_classes_other_than_the_published_need_their_rarity() -> None:
    scores, labels = drawn(2, 3), torch.tensor([[1, 1, 0], [0, 0, 1]])
    with pytest.raises(PerisphereError, match="10 classes, not of 3; give rarity"):
        class_loss(scores, labels, "separate")
    rarity = rarities(torch.tensor([5, 0, 2]), 10)
    assert rarity.tolist() == [1, 9, 4]
    expected = functional.binary_cross_entropy_with_logits(
        scores, labels.double(), pos_weight=rarity.double()
    )
    torch.testing.assert_close(class_loss(scores, labels, "separate", rarity=rarity), expected)
    with pytest.raises(PerisphereError, match="no loss is named 'plain'"):
        class_loss(scores, labels, "plain")  # type: ignore[arg-type]
