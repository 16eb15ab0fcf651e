"""Masks of several scales become one set."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perisphere.encoder.mask_merging import MaskEntry, merged, raise_background


@pytest.mark.parametrize("case", range(3))
def test_golden_merging(shared: Path, case: int) -> None:
    golden: dict[str, Any] = json.loads((shared / "golden/wikiscenes.json").read_text())["mask_merging"][case]
    given, expected = golden["inputs"], golden["outputs"]
    entries = []
    for place, (masks, pad) in enumerate(zip(given["masks"], given["pads"], strict=True)):
        top, left, height, width = map(int, pad)
        part = torch.tensor(masks)[:, top : top + height, left : left + width]
        entries.append(MaskEntry(part, mirrored=given["flip"] and place % 2 == 1))
    found = merged(entries, torch.tensor(given["class_kept"], dtype=torch.bool), tuple(given["image_hw"]))
    found = raise_background(found, given["bg_pow"])
    np.testing.assert_allclose(found.numpy(), expected["merged"], atol=1e-5)
    np.testing.assert_array_equal(found.argmax(0).numpy(), expected["labels"])


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
def test_a_mirrored_copy_changes_nothing(classes: int, height: int, width: int) -> None:
    masks = torch.rand(1 + classes, height, width)
    every = torch.ones(classes, dtype=torch.bool)
    both = [MaskEntry(masks, mirrored=False), MaskEntry(masks.flip(-1), mirrored=True)]
    torch.testing.assert_close(merged(both, every, (height, width)), masks)


def test_the_masks_that_are_merged_stay_as_they_were() -> None:
    masks = torch.rand(3, 4, 5)
    before = masks.clone()
    merged([MaskEntry(masks, False), MaskEntry(masks, True)], torch.tensor([True, False]), (4, 5))
    assert torch.equal(masks, before)


def test_a_class_that_is_not_kept_has_no_mask() -> None:
    found = merged([MaskEntry(torch.ones(3, 2, 2), False)], torch.tensor([False, True]), (4, 4))
    assert found.amax((1, 2)).tolist() == [1, 0, 1]
