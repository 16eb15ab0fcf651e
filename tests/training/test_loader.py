from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from perisphere.encoder import Preprocessing
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
