import pytest
import torch
from pydantic import ValidationError

from perisphere.training.augmentation import Augmentation

EVERYTHING = Augmentation(
    crop_area=(0.4, 1.0),
    flip=0.5,
    shift=0.1,
    zoom=0.2,
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    erase=0.7,
    erase_fill="noise",
)


@pytest.fixture
def images():
    return torch.rand(8, 3, 20, 24, generator=torch.Generator().manual_seed(0))


def test_the_seed_decides_everything(images):
    state = torch.random.get_rng_state()
    first, again, other = (EVERYTHING(images.clone(), (20, 24), seed) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_sharing_a_batch_among_devices_changes_nothing(images):
    whole = EVERYTHING(images, (16, 16), 3)
    parts = [EVERYTHING(images[4 * rank : 4 * rank + 4], (16, 16), 3, rank, 2) for rank in range(2)]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-6)


def test_the_result_has_the_wanted_size_and_range(images):
    result = EVERYTHING(images, (12, 15), 0)
    assert result.shape == (8, 3, 12, 15)
    assert result.min() >= 0
    assert result.max() <= 1


def test_nothing_wished_is_nothing_done(images):
    assert torch.equal(Augmentation()(images, (20, 24), 0), images)
    assert not Augmentation().active
    assert EVERYTHING.active


def test_a_certain_flip_is_a_mirror(images):
    assert torch.allclose(Augmentation(flip=1.0)(images, (20, 24), 0), images.flip(3), atol=1e-5)


def test_a_crop_is_a_window_of_the_picture():
    ramp = torch.linspace(0, 1, 64).expand(50, 3, 64, 64)
    crops = Augmentation(crop_area=(0.25, 0.25), crop_ratio=(1.0, 1.0))(ramp, (64, 64), 1)
    spans = crops[:, 0, 32, -1] - crops[:, 0, 32, 0]
    assert torch.allclose(spans, torch.full((50,), 0.5), atol=0.02)
    starts = crops[:, 0, 32, 0]
    assert starts.min() < 0.1
    assert starts.max() > 0.4


def test_erasing_greys_a_rectangle_of_the_wished_area():
    white = torch.ones(200, 3, 40, 40)
    erased = Augmentation(erase=0.5, erase_area=(0.1, 0.1))(white, (40, 40), 0)
    areas = (erased[:, 0] == 0.5).float().mean((1, 2))
    hit = areas > 0
    assert 0.35 < hit.float().mean() < 0.65
    assert torch.allclose(areas[hit], torch.full_like(areas[hit], 0.1), atol=0.03)


def test_brightness_scales_and_saturation_keeps_grey():
    grey = torch.full((50, 3, 4, 4), 0.5)
    bright = Augmentation(brightness=0.2)(grey, (4, 4), 0)
    assert bright.min() < 0.43
    assert bright.max() > 0.57
    assert torch.allclose(Augmentation(saturation=0.9, contrast=0.9)(grey, (4, 4), 0), grey, atol=1e-5)


@pytest.fixture
def ramps():
    """Red grows from left to right and green from top to bottom, from 0 to 1."""
    across = torch.linspace(0, 1, 64).expand(200, 1, 64, 64)
    return torch.cat((across, across.mT, torch.zeros_like(across)), 1)


def test_zoom_sees_more_or_less_of_each_side_about_the_centre(ramps):
    zoomed = Augmentation(zoom=0.25, border="edge")(ramps, (64, 64), 2)
    spans = torch.stack(
        (zoomed[:, 0, 32, 40] - zoomed[:, 0, 32, 24], zoomed[:, 1, 40, 32] - zoomed[:, 1, 24, 32]), 1
    ) / (16 / 63)
    assert 0.75 <= spans.min() < 0.78
    assert 1.22 < spans.max() <= 1.25
    assert (spans[:, 0] - spans[:, 1]).abs().max() > 0.3, "width and height are drawn apart"
    assert torch.allclose(zoomed[:, :2, 31:33, 31:33].mean((2, 3)), torch.tensor(0.5), atol=0.01)
    far = zoomed[spans[:, 0].argmax(), 0, 32]
    assert far[0] == 0
    assert far[-1] == 1


def test_shifts_reach_their_share_and_no_farther(ramps):
    for border, beyond in (("edge", 0.0), ("reflection", 0.15)):
        shifted = Augmentation(shift=0.15, border=border)(ramps, (64, 64), 0)
        places = shifted[:, 0, 32, 32] - 32 / 63
        assert 0.14 < places.max() <= 0.153
        assert -0.153 <= places.min() < -0.14
        left = shifted[places.argmin(), 0, 32, 0]
        assert left == pytest.approx(beyond, abs=0.02)


def test_noise_fills_a_hole_of_the_wished_area_and_ratio():
    black = torch.zeros(300, 3, 50, 50)
    erased = Augmentation(erase=0.5, erase_area=(0.02, 0.3), erase_ratio=(0.3, 1 / 0.3), erase_fill="noise")(
        black, (50, 50), 0
    )
    holes = erased.amax(1) > 0
    hit = holes.any(2).any(1)
    assert 0.4 < hit.float().mean() < 0.6
    areas = holes[hit].float().mean((1, 2))
    assert areas.min() < 0.04
    assert 0.25 < areas.max() < 0.34
    ratios = holes[hit].any(1).sum(1) / holes[hit].any(2).sum(1)
    assert 0.25 < ratios.min() < 0.4
    assert 2.5 < ratios.max() < 4
    values = erased[hit][:, 0][holes[hit]]
    assert 0.45 < values.mean() < 0.55
    assert values.std() == pytest.approx(12**-0.5, abs=0.03)


def test_padding_moves_pictures_by_whole_pixels_and_shows_black_beyond():
    picture = 0.1 + 0.9 * torch.rand(3, 12, 8, generator=torch.Generator().manual_seed(1))
    seen = Augmentation(pad=3)(picture.expand(400, 3, 12, 8), (12, 8), 1)
    canvas = torch.zeros(3, 18, 14)
    canvas[:, 3:15, 3:11] = picture
    windows = [canvas[:, y : y + 12, x : x + 8] for y in range(7) for x in range(7)]
    found = [[bool(torch.equal(one, window)) for window in windows].index(True) for one in seen]
    assert len(set(found)) == 49, "every place occurs"
    assert Augmentation(pad=3).active


def test_padding_does_not_depend_on_the_number_of_devices(images):
    both = Augmentation(pad=4, flip=0.5, erase=1.0, erase_area=(0.02, 0.4), erase_fill="mean")
    whole = both(images, (20, 24), 3)
    parts = [both(images[4 * rank : 4 * rank + 4], (20, 24), 3, rank, 2) for rank in range(2)]
    assert torch.equal(torch.cat(parts), whole)


def test_flips_alone_are_exact(images):
    flipped = Augmentation(flip=0.5)(images, (20, 24), 4)
    mirrored = [torch.equal(one, image.flip(2)) for one, image in zip(flipped, images, strict=True)]
    assert all(
        torch.equal(one, image) or there for one, image, there in zip(flipped, images, mirrored, strict=True)
    )
    assert 0 < sum(mirrored) < len(images)


@pytest.mark.parametrize("spread", ["log", "even"])
def test_rectangles_of_upright_pictures_have_their_area_and_ratio_in_pixels(spread):
    white = torch.ones(2000, 3, 128, 64)
    erased = Augmentation(
        erase=0.5,
        erase_area=(0.02, 0.4),
        erase_ratio=(0.3, 1 / 0.3),
        erase_fill="mean",
        erase_spread=spread,
    )(white, (128, 64), 0, mean=(0.2, 0.3, 0.4))
    holes = erased[:, 0] < 1
    hit = holes.any(2).any(1)
    assert hit.float().mean() == pytest.approx(0.5, abs=0.04)
    assert torch.allclose(erased[hit].transpose(0, 1)[:, holes[hit]].mean(1), torch.tensor([0.2, 0.3, 0.4]))
    holes = holes[hit]
    areas = holes.float().mean((1, 2))
    assert areas.min() < 0.03
    assert 0.37 < areas.max() < 0.42
    height, width = holes.any(2).sum(1), holes.any(1).sum(1)
    upright = (height / width).double()
    assert 0.25 < upright.min() < 0.4
    assert 2.8 < upright.max() < 3.8
    # log: half and half; even: (3.33 - 1) of (3.33 - 0.3) stand; wide ones that do not fit are drawn again
    assert (upright > 1).double().mean() == pytest.approx({"log": 0.53, "even": 0.78}[spread], abs=0.04)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"shorter": (300, 200)}, "shorter is"),
        ({"shorter": (0, 200)}, "shorter"),
        ({"shorter": (256, 480), "crop_area": (0.5, 1.0)}, "leave crop_area and margin out"),
        ({"shorter": (256, 480), "margin": 1.1}, "leave crop_area and margin out"),
        ({"border": "edge"}, "border is for shift and zoom"),
        ({"erase_ratio": (0, 1)}, "erase_ratio is"),
        ({"zoom": 1}, "zoom"),
        ({"erase_fill": "red"}, "erase_fill"),
        ({"erase_spread": "even"}, "erase_spread needs erase"),
        ({"pad": -1}, "pad"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(fields, words):
    with pytest.raises(ValidationError, match=words):
        Augmentation(**fields)
