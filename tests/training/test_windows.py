"""Points move along with what augmentation does to pictures."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from perisphere.training.augmentation import Augmentation, Windows

SHOWN = Augmentation(crop_area=(0.9, 1.0), crop_draw="redrawn", flip=0.5)


def test_the_published_transform_of_keypoints(shared):
    golden = json.loads((shared / "golden" / "wikiscenes.json").read_text())["keypoint_transform"]
    assert golden
    for case in golden:
        given_, wanted = case["inputs"], case["outputs"]["row_col"]
        (width, height), (top, left, h, w) = given_["image_w_h"], given_["crop_top_left_height_width"]
        shares = [[top / height], [left / width], [h / height], [w / width]]
        windows = Windows(
            *(torch.tensor(share, dtype=torch.float64) for share in shares), torch.tensor([given_["flip"]])
        )
        names = list(given_["row_col"])
        points = torch.tensor([[given_["row_col"][name] for name in names]], dtype=torch.float64)
        moved, seen = windows.points(points)
        assert [name for name, there in zip(names, seen[0], strict=True) if there] == list(wanted)
        for name, point in zip(names, moved[0], strict=True):
            if name in wanted:
                assert point.tolist() == pytest.approx(wanted[name], abs=1e-8)


@pytest.mark.parametrize(
    "options",
    [
        {"crop_area": (0.3, 0.6), "flip": 0.5},
        {"crop_area": (0.9, 1.0), "crop_draw": "redrawn", "flip": 0.5},
        {"shift": 0.2, "zoom": 0.3, "flip": 0.5},
        {"flip": 0.5},
    ],
)
def test_a_point_shows_the_same_before_and_after(options):
    """The picture is a ramp of rows and columns, so that a pixel's colour says where it comes from."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 65), torch.linspace(0, 1, 65), indexing="ij")
    images = torch.stack((rows, columns, rows)).expand(12, 3, 65, 65)
    varied = Augmentation(**options).varied(images, (65, 65), seed=5)
    points = torch.rand(12, 40, 2, generator=torch.Generator().manual_seed(1))
    moved, seen = varied.windows.points(points)
    assert seen.any(1).all()
    found = functional.grid_sample(varied.images, 2 * moved.flip(-1)[:, None] - 1, align_corners=False)
    seen &= (moved > 0.02).all(-1) & (moved < 0.98).all(-1)  # at the border half a pixel has no neighbour
    ramp = (points * 65 - 0.5) / 64
    assert torch.allclose(found[:, :2, 0].movedim(1, -1)[seen], ramp[seen], atol=0.02)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), aspect=st.floats(0.2, 5))
def test_a_redrawn_crop_lies_in_the_photo_and_has_an_allowed_ratio_there(seed, aspect):
    windows = SHOWN.varied(
        torch.zeros(4, 3, 8, 8), (8, 8), seed=seed, aspects=torch.full((4,), aspect)
    ).windows
    for start, size in ((windows.top, windows.height), (windows.left, windows.width)):
        assert (start >= -1e-6).all()
        assert (start + size <= 1 + 1e-6).all()
    ratio = windows.width / windows.height * aspect
    assert ((ratio > 3 / 4 - 1e-5) & (ratio < 4 / 3 + 1e-5)).all()
    if 0.9 < aspect < 1.1:
        assert (windows.height * windows.width > 0.9 - 1e-5).all()


def test_devices_see_what_one_would():
    images = torch.rand(8, 3, 8, 8)
    augmentation = Augmentation(
        crop_area=(0.5, 1.0), crop_draw="redrawn", flip=0.5, hue=0.1, brightness=0.2, colours=0.5
    )
    whole = augmentation.varied(images, (8, 8), seed=3)
    halves = [
        augmentation.varied(images[4 * rank : 4 * rank + 4], (8, 8), seed=3, rank=rank, world=2)
        for rank in range(2)
    ]
    assert torch.equal(torch.cat([half.images for half in halves]), whole.images)
    for one, two, all_ in zip(halves[0].windows, halves[1].windows, whole.windows, strict=True):
        assert torch.equal(torch.cat((one, two)), all_)


def test_hue_turns_colours_and_leaves_grey():
    grey = torch.full((3, 3, 4, 4), 0.4)
    augmentation = Augmentation(hue=0.5)
    assert torch.allclose(augmentation(grey, (4, 4), seed=0), grey, atol=1e-3)
    red = torch.tensor([0.6, 0.4, 0.4])[:, None, None].expand(3, 3, 4, 4)
    turned = augmentation(red, (4, 4), seed=0)
    assert (turned - red).abs().amax((1, 2, 3)).min() > 0.01
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    assert torch.allclose((turned * weights).sum(1), (red * weights).sum(1), atol=1e-3)


def test_colours_change_as_often_as_they_are_to():
    images = torch.rand(400, 3, 2, 2)
    changed = Augmentation(brightness=0.5, colours=0.5)(images, (2, 2), seed=1) != images
    assert 0.4 < changed.any(1).flatten(1).any(1).float().mean() < 0.6
