import pytest
import torch

from perisphere.training.augmentation import Augmentation

EVERYTHING = Augmentation(
    crop_area=(0.4, 1.0), flip=0.5, shift=0.1, brightness=0.3, contrast=0.3, saturation=0.3, erase=0.7
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
