import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.errors import PerisphereError
from perisphere.nets import pamr
from perisphere.nets.pamr import affinities, refine


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_hand(image: torch.Tensor, mask: torch.Tensor, dilations: list[int]) -> torch.Tensor:
    """One iteration for one image ``[k, h, w]``, pixel by pixel."""
    _, h, w = image.shape
    result = torch.empty_like(mask)
    for y in range(h):
        for x in range(w):
            at = [
                (min(max(y + d * i, 0), h - 1), min(max(x + d * j, 0), w - 1))
                for d in dilations
                for i in (-1, 0, 1)
                for j in (-1, 0, 1)
            ]
            windows = torch.stack([image[:, r, c] for r, c in at], 1)
            around = [n for n in range(len(at)) if n % 9 != 4]
            unit = 1e-8 + 0.1 * windows.std(1, keepdim=True)
            weights = (-(windows[:, around] - image[:, y, x, None]).abs() / unit).mean(0).softmax(0)
            result[:, y, x] = torch.stack([mask[:, at[n][0], at[n][1]] for n in around], 1) @ weights
    return result


def test_published_values(shared: Path) -> None:
    cases = json.loads((shared / "golden/wikiscenes.json").read_text())["pamr"]
    assert len(cases) == 3
    for case in cases:
        given, expected = case["inputs"], case["outputs"]["mask"]
        image = torch.tensor(given["image"], dtype=torch.float64)
        mask = torch.tensor(given["mask"], dtype=torch.float64)
        refined = refine(image, mask, given["dilations"], given["iterations"])
        torch.testing.assert_close(refined, torch.tensor(expected, dtype=torch.float64), atol=1e-8, rtol=0)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.sampled_from([[1], [3], [1, 2, 9]]), st.integers(0, 99))
def test_an_iteration_is_the_weighted_mean_over_neighbours(
    h: int, w: int, dilations: list[int], seed: int
) -> None:
    images, masks = drawn(2, 3, h, w, seed=seed), drawn(2, 2, h, w, seed=seed + 1)
    expected = torch.stack([by_hand(*both, dilations) for both in zip(images, masks, strict=True)])
    torch.testing.assert_close(refine(images, masks, dilations, 1), expected)


def test_blocks_and_the_other_images_of_a_batch_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images, masks = drawn(5, 3, 9, 8), drawn(5, 4, 9, 8, seed=1)
    whole, before = refine(images, masks), masks.clone()
    for block in (1, 2 * (4 + 48) * 9 * 8):
        monkeypatch.setattr(pamr, "BLOCK", block)
        torch.testing.assert_close(refine(images, masks), whole, atol=1e-12, rtol=0)
    assert masks.equal(before)


def test_weights_sum_to_one_and_a_uniform_photo_blurs() -> None:
    assert affinities(drawn(2, 3, 6, 5), [1, 2]).sum(1).allclose(torch.ones(2, 6, 5, dtype=torch.float64))
    grey, masks = torch.full((1, 3, 7, 7), 0.5), torch.zeros(1, 1, 7, 7)
    masks[..., 3, 3] = 1
    refined = refine(grey, masks, [1], 1)
    assert refined[0, 0, 3, 3] == 0
    assert refined[0, 0, 2, 2] == pytest.approx(1 / 8)


def test_masks_stop_at_edges_of_the_photo() -> None:
    photo = torch.zeros(1, 3, 16, 16)
    photo[..., 8:] = 1
    masks = torch.zeros(1, 2, 16, 16)
    masks[:, 1, :, 10:] = 1
    masks[:, 0] = 1 - masks[:, 1]
    refined = refine(photo, masks)
    assert (refined[0, 1, :, 8:] > refined[0, 0, :, 8:]).all()
    assert (refined[0, 1, :, :8] < refined[0, 0, :, :8]).all()


def test_precision_gradients_and_no_iterations() -> None:
    images, masks = drawn(1, 3, 6, 6).bfloat16(), drawn(1, 2, 3, 3).bfloat16().requires_grad_()
    refined = refine(images, masks)
    assert refined.dtype == torch.float32
    assert not refined.requires_grad
    assert refined.isfinite().all()
    resized = refine(images, masks, iterations=0)
    assert resized.shape == (1, 2, 6, 6)
    assert resized[0, 0, 0, 0] == masks[0, 0, 0, 0]
    assert refine(images[:0], masks[:0]).shape == (0, 2, 6, 6)


@pytest.mark.parametrize(
    ("masks", "dilations", "iterations"), [(2, [1], 1), (1, [], 1), (1, [0], 1), (1, [1], -1)]
)
def test_what_cannot_be_refined_is_an_error(masks: int, dilations: list[int], iterations: int) -> None:
    with pytest.raises(PerisphereError, match="give as many masks as images"):
        refine(drawn(1, 3, 4, 4), drawn(masks, 1, 4, 4), dilations, iterations)
