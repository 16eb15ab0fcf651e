"""The pictures of a few photos that TensorBoard shows."""

import numpy as np
import pytest
import torch
from concept_scenes import write_concept_photos

from perisphere.nets import SegmentationSpec, build_segmentation
from perisphere.training.concept_photos import concept_data
from perisphere.training.fixed_pairs import POINTS, FixedPairs, fixed_pairs
from perisphere.training.recipe import Data, Recipe

TREE = {
    "name": "walls",
    "method": "segmentation",
    "segmentation": {"correspondence": {}},
    "net": {"backbone": "squeezenet1_0"},
    "preprocessing": {"size": [32, 32], "resize": "squash"},
    "epochs": 1,
}


@pytest.fixture(scope="module")
def walls(tmp_path_factory):
    return write_concept_photos(tmp_path_factory.mktemp("walls"), landmarks=2, photos=3, side=36)


def read(walls, **changes):
    recipe = Recipe.model_validate(TREE | {"data": [{"catalog": str(walls)}]} | changes)
    return recipe, concept_data(Data(catalog=walls), recipe.segmentation, recipe.input, 0)


def test_pairs_share_points_and_are_of_validation(walls):
    _, data = read(walls)
    pairs = fixed_pairs(data)
    assert (pairs >= len(data.train)).all()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert (data.points.shared(pairs[:, 0], pairs[:, 1])[1].sum(1) >= 10).all()


def test_masks_and_likeness_are_painted_and_the_network_stays_as_it_was(walls):
    recipe, data = read(walls)
    spec = SegmentationSpec(backbone="squeezenet1_0", classes=tuple(data.classes), width=8, dilations=(1, 2))
    net = build_segmentation(spec, seed=0).train()
    with torch.no_grad():
        net.scores.bias[1] += 5  # a fresh network sees nothing but background
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    shown = FixedPairs(None, net, recipe.input, data)
    state = torch.get_rng_state()
    painted = shown.painted()
    assert torch.equal(torch.get_rng_state(), state)
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    pairs = len(shown.pairs)
    assert painted["masks"].shape == (32 * pairs, 4 * 32, 3)
    assert painted["similarity"].shape == (32 * pairs * POINTS, 2 * 32, 3)
    photo = shown.pictures()[0]
    assert np.array_equal(painted["masks"][:32, :32], photo), "a photo beside its masks"
    assert not np.array_equal(painted["masks"][:32, 32:64], photo)


def test_without_points_there_are_masks_alone(walls):
    recipe, data = read(walls, segmentation={"head": "cam"})
    spec = SegmentationSpec(backbone="squeezenet1_0", classes=tuple(data.classes), head="cam")
    painted = FixedPairs(None, build_segmentation(spec, seed=0), recipe.input, data).painted()
    assert set(painted) == {"masks"}
