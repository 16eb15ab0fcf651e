from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from perisphere.encoder import Preprocessing
from perisphere.encoder.loading import batches
from perisphere.encoder.preprocessing import View
from perisphere.errors import PerisphereError
from perisphere.training.loader import PADDING, Loader
from perisphere.training.photos import Photos

SMALL = Preprocessing(size=(8, 8), resize="squash")


@pytest.fixture
def numbered(tmp_path) -> Photos:
    """Eleven grey photos; photo i has the grey value 10 i and the class i."""
    paths = [tmp_path / f"{number}.png" for number in range(11)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((8, 8, 3), 10 * number, np.uint8))
    return Photos(paths, np.arange(11))


def loader(photos: Photos, **options) -> Loader:
    return Loader(photos, SMALL, **{"batch_size": 4, "seed": 1, "shuffle": True, "cache_mb": 1} | options)


@pytest.mark.parametrize("cache_mb", [0, 1])
def test_pictures_belong_to_their_targets(numbered, cache_mb):
    epoch = list(loader(numbered, cache_mb=cache_mb))
    assert [len(batch.targets) for batch in epoch] == [4, 4]
    for batch in epoch:
        assert torch.equal(batch.pictures[:, 0, 0, 0].long(), batch.targets * 10)


def test_streaming_and_caching_give_the_same(numbered):
    for cached, streamed in zip(loader(numbered), loader(numbered, cache_mb=0), strict=True):
        assert torch.equal(cached.pictures, streamed.pictures)
        assert torch.equal(cached.targets, streamed.targets)
        assert cached.seed == streamed.seed


def test_order_is_a_function_of_seed_and_epoch(numbered):
    def order(seed, epoch):
        one = loader(numbered, seed=seed)
        one.sampler.set_epoch(epoch)
        return [batch.targets.tolist() for batch in one], [batch.seed for batch in one]

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)


def test_devices_share_each_batch(numbered):
    whole = [batch.targets.tolist() for batch in loader(numbered)]
    parts = [[batch.targets.tolist() for batch in loader(numbered, rank=rank, world=2)] for rank in range(2)]
    assert [first + second for first, second in zip(*parts, strict=True)] == whole


@pytest.mark.parametrize("world", [1, 2])
def test_validation_sees_every_photo_once(numbered, world):
    seen = []
    for rank in range(world):
        one = loader(numbered, shuffle=False, rank=rank, world=world)
        assert len(list(one)) == len(one) == 3
        seen += [target for batch in one for target in batch.targets.tolist() if target != PADDING]
    assert sorted(seen) == list(range(11))


def test_fewer_photos_than_a_batch_are_one_batch(numbered):
    one = loader(numbered, batch_size=64)
    assert [sorted(batch.targets.tolist()) for batch in one] == [list(range(11))]
    pair = [loader(numbered, batch_size=64, rank=rank, world=2) for rank in range(2)]
    assert [len(batch.targets) for part in pair for batch in part] == [6, 6]


def test_a_photo_that_is_gone_is_named(numbered):
    Path(numbered.paths[3]).unlink()
    with pytest.raises(PerisphereError, match=r"3\.png"):
        loader(numbered)


@pytest.fixture
def ramps(tmp_path) -> Photos:
    """Eight photos of 60 x 90: green grows from left to right, red from top to bottom."""
    image = np.zeros((60, 90, 3), np.uint8)
    image[:, :, 1], image[:, :, 2] = np.arange(90) * 2, np.arange(60)[:, None] * 2
    paths = [tmp_path / f"{number}.png" for number in range(8)]
    for path in paths:
        cv2.imwrite(str(path), image)
    return Photos(paths, np.arange(8))


def views(photos, epoch=0, **options):
    made = Loader(
        photos,
        Preprocessing(size=(20, 20)),
        **{"batch_size": 4, "seed": 1, "shuffle": True, "cache_mb": 1, "shorter": (30, 60)} | options,
    )
    made.sampler.set_epoch(epoch)
    return torch.cat([batch.pictures for batch in made]).float()


def test_a_random_place_is_seen_at_a_random_size_and_aspect_stays(ramps):
    seen = torch.cat([views(ramps, epoch) for epoch in range(8)])
    spans = torch.stack(
        (seen[:, :, 19, 1] - seen[:, :, 0, 1], (seen[:, 19, :, 0] - seen[:, 0, :, 0])), 1
    ).mean(2)
    pixels = spans / 2 / 19 * 20  # of the photo, across and down
    assert torch.allclose(pixels[:, 0], pixels[:, 1], atol=2)
    assert pixels.min() >= 19  # scaled to 60: 20 of 60 rows
    assert pixels.max() <= 41  # scaled to 30: 40 of 60
    assert pixels.max() - pixels.min() > 12
    assert seen[:, 10, 0, 1].min() < 20, "the left border is reached"
    assert seen[:, 10, 19, 1].max() > 160, "the right one too"


def test_views_follow_from_seed_and_epoch_and_not_from_the_devices(ramps):
    assert torch.equal(views(ramps, 3), views(ramps, 3))
    assert not torch.equal(views(ramps, 3), views(ramps, 4))
    whole = views(ramps, 2).reshape(2, 4, 20, 20, 3)
    parts = [views(ramps, 2, rank=rank, world=2).reshape(2, 2, 20, 20, 3) for rank in range(2)]
    assert torch.equal(torch.cat(parts, 1), whole)


def test_a_place_is_the_share_of_the_free_room():
    image = np.random.default_rng(0).integers(0, 256, (40, 100, 3), dtype=np.uint8)
    made = Preprocessing(size=(40, 40))
    np.testing.assert_array_equal(made.seen(image, View(40, 0.5, 0.9)), image[:, 30:70])
    np.testing.assert_array_equal(made.seen(image, View(40, 1.0, 0.0)), image[:, 60:])
    strip = made.seen(np.full((1, 30_000, 3), 9, np.uint8), View(480, 0.3, 0.3))
    np.testing.assert_array_equal(strip, np.full((40, 40, 3), 9))


def test_views_go_one_to_one_with_pictures(ramps):
    with pytest.raises(PerisphereError, match="8 images and 1 views"):
        next(batches(ramps.paths, SMALL, batch_size=2, views=[View(9, 0, 0)]))
