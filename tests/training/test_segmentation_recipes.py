"""The recipes of WikiScenes: published settings, and what the section `segmentation` refuses."""

import pytest
import torch
from torch import nn

from perisphere.errors import UsageError
from perisphere.nets import build_segmentation
from perisphere.tags.architecture import CONCEPTS
from perisphere.training import Recipe, load
from perisphere.training.concept_learning import left_out
from perisphere.training.freezing import freeze
from perisphere.training.optimisation import optimisation

PUBLISHED = {  # epochs, photos of a batch, milestones, correspondence, head
    "wikiscenes-resnet50": (26, 36, (20, 25), "decoder", "single-stage"),
    "wikiscenes-resnet50-cls": (11, 32, (6,), "backbone", "classifier"),
    "wikiscenes-resnet50-cam": (26, 36, (20, 25), None, "cam"),
}
SMALL = ("segmentation-small", "segmentation-small-cam", "segmentation-small-corr")


def network(recipe):
    with torch.device("meta"):
        return build_segmentation(recipe.segmentation.spec(recipe.net.backbone, CONCEPTS))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings(name):
    recipe, (epochs, batch, milestones, layer, head) = load(name), PUBLISHED[name]
    rule = recipe.segmentation
    assert (recipe.epochs, recipe.batch_size, rule.head) == (epochs, batch, head)
    assert recipe.schedule.milestones == milestones
    rates = [recipe.schedule.factor(epoch, epochs, 1.0) for epoch in range(epochs)]
    assert rates == pytest.approx([0.1 ** sum(m <= epoch for m in milestones) for epoch in range(epochs)])
    assert (recipe.optimizer.name, recipe.optimizer.lr, recipe.optimizer.weight_decay) == ("adam", 5e-4, 5e-4)
    assert (rule.loss, rule.labels, recipe.input.size) == ("cross_entropy", "primary", (224, 224))
    shown = recipe.augmentation
    assert (shown.crop_area, shown.crop_draw, shown.flip, shown.colours) == ((0.9, 1.0), "redrawn", 0.5, 0.5)
    assert (shown.brightness, shown.contrast, shown.saturation, shown.hue) == (0.3, 0.3, 0.3, 0.1)
    points = rule.correspondence
    assert (points and points.feature) == layer
    if points:
        assert (points.weight, points.loss, points.negatives, points.tau) == (0.3, "contrastive", 16, 0.07)
        assert points.normalise
        assert points.align_corners
    if head == "single-stage":
        assert rule.mask_start == 5
        assert (rule.refine.dilations, rule.refine.iterations) == ((1, 2, 4, 8, 12, 24), 10)
        assert (rule.pseudo.background, rule.pseudo.foreground, rule.pseudo.floor) == (0.7, 0.6, 0.2)


def test_the_published_groups_of_parameters():
    recipe = load("wikiscenes-resnet50")
    net = network(recipe)
    found: dict[tuple[float, float], list[torch.Tensor]] = {}
    for group in optimisation(recipe, net, nn.Identity()).param_groups:
        key = (round(group["lr"] / recipe.optimizer.lr), group["weight_decay"])
        found.setdefault(key, []).extend(group["params"])
    counts = {key: (len(params), sum(one.numel() for one in params)) for key, params in found.items()}
    assert counts == {
        (1, 5e-4): (106, 23_481_472),
        (1, 0.0): (53, 26_560),
        (10, 5e-4): (26, 17_692_208),
        (10, 0.0): (13, 3_130),
    }


def test_biases_learn_twice_as_fast_where_they_are_to():
    recipe = load("wikiscenes-resnet50", ["optimizer.bias_rate=2"])
    net = network(recipe)
    rates = {}
    for group in optimisation(recipe, net, nn.Identity()).param_groups:
        rates |= {
            id(tensor): (round(group["lr"] / 5e-4), group["weight_decay"]) for tensor in group["params"]
        }
    assert {rates[id(tensor)] for name, tensor in net.named_parameters() if name.endswith("bias")} == {
        (2, 0.0),
        (20, 0.0),
    }


def test_the_classifier_has_one_rate_and_everything_decays():
    recipe = load("wikiscenes-resnet50-cls")
    groups = optimisation(recipe, network(recipe), nn.Identity()).param_groups
    assert {(group["lr"], group["weight_decay"]) for group in groups} == {(5e-4, 5e-4)}


@pytest.mark.parametrize("name", SMALL)
def test_small_recipes_are_for_processors(name):
    recipe = load(name)
    net = network(recipe)
    freeze(net, recipe.freeze)
    assert recipe.input.size == (128, 128)
    assert not next(net.parameters()).requires_grad
    assert sum(tensor.numel() for tensor in net.parameters()) < 3e6
    assert (recipe.segmentation.correspondence is None) == (not name.endswith("corr"))


BASE = {
    "name": "base",
    "method": "segmentation",
    "data": [{"catalog": "photos"}],
    "net": {"backbone": "resnet18"},
    "epochs": 1,
}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"batch_size": 7}, "batch_size 7 is no whole number of pairs"),
        ({"net": {"backbone": "resnet18", "projection": 8}}, "net.projection does nothing with method: segm"),
        ({"net": {"backbone": "alexnet"}}, "there is no backbone 'alexnet' that can segment"),
        ({"segmentation": {"head": "cam", "width": 64}}, "segmentation: width means nothing to the head cam"),
        ({"segmentation": {"psi": 3}}, "segmentation.psi: Input should be less than 1"),
        (
            {"segmentation": {"head": "cam", "mask_start": 1}},
            "mask_start is of head: single-stage, not of cam",
        ),
        ({"segmentation": {"mask_weight": 0, "mask_start": 1}}, "mask_start does nothing where mask_weight"),
        (
            {"segmentation": {"mask_weight": 0, "refine": {"iterations": 2}}},
            "refine does nothing where mask_weight is 0",
        ),
        (
            {"segmentation": {"mask_weight": 0, "pseudo": {"floor": 0.1}}},
            "pseudo does nothing where mask_weight is 0",
        ),
        (
            {"segmentation": {"head": "cam", "correspondence": {"feature": "sg"}}},
            "head: cam has no layer 'gate'",
        ),
        ({"segmentation": {"classes": []}}, r"classes: \[\] learns from corresponding points alone"),
        ({"segmentation": {"classes": ["a", "a"]}}, "each concept is named once"),
        ({"segmentation": {"class_weight": 0, "mask_weight": 0}}, "every weight is 0"),
        (
            {"segmentation": {"correspondence": {"loss": "squared", "tau": 1}}},
            "tau is of loss: contrastive or",
        ),
        (
            {"segmentation": {"correspondence": {"margin": 1}}},
            "margin is of loss: triplet, not of contrastive",
        ),
        ({"segmentation": {"correspondence": {"start": 3, "until": 3}}}, "until 3 is not after start 3"),
        ({"augmentation": {"pad": 4}}, "augmentation.pad goes without keypoints"),
        ({"augmentation": {"erase": 0.5}}, "augmentation.erase goes without keypoints"),
        ({"freeze": {"stages": ["stem"], "cached": True}}, "freeze.cached goes without keypoints"),
        ({"preprocessing": {"size": [32, 32], "shorter": 40}}, "preprocessing.shorter cuts keypoints off"),
        ({"finetune_init": 2, "weights": "x"}, "finetune_init is of a projection"),
        ({"schedule": {"name": "plateau"}, "epochs": 2}, "take another schedule"),
        ({"label_smoothing": 0.1}, "label_smoothing is for method: landmark or centroid"),
        (
            {"batch_size": 6, "devices": 2},
            "batch_size 6 cannot be shared by 2 devices: make it a multiple of 4",
        ),
        ({"data": [{"catalog": "a"}, {"catalog": "b"}]}, "several data sets share one network"),
        ({"method": "landmark", "segmentation": {"head": "cam"}}, "segmentation is for method: segmentation"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        Recipe.model_validate(BASE | changes)


def test_published_names_of_layers_are_taken():
    for name, layer in {"conv3": "shallow", "fc8": "merged", "sg": "gate", "decoder": "decoder"}.items():
        made = Recipe.model_validate(BASE | {"segmentation": {"correspondence": {"feature": name}}})
        assert made.segmentation.correspondence.feature == layer


def test_a_wrong_key_names_the_nearest():
    with pytest.raises(UsageError, match=r"'segmentation.mask_starts' is not a key.*'mask_start'"):
        load("segmentation-small", ["segmentation.mask_starts=3"])


@pytest.mark.parametrize(
    ("rule", "classes", "epochs", "complaint"),
    [
        ({}, CONCEPTS, 5, "Masks are learned from after 5 epochs, and there are 5"),
        ({}, CONCEPTS, 6, None),
        ({}, CONCEPTS, None, None),
        ({"mask_weight": 0}, CONCEPTS, 5, None),
        ({"head": "cam"}, CONCEPTS, 2, None),
        ({"correspondence": {"start": 3}}, (), 3, "Points are learned from after 3 epochs"),
        ({"correspondence": {"feature": "shallow"}}, (), 3, "nothing behind the layer shallow learns"),
        ({"correspondence": {"feature": "shallow"}, "mask_start": 0}, CONCEPTS, 3, None),
        ({"head": "classifier", "correspondence": {"feature": "backbone"}}, (), 3, None),
        ({"correspondence": {}}, (), 3, None),
    ],
)
def test_a_run_says_what_it_does_not_learn(rule, classes, epochs, complaint):
    notes = left_out(Recipe.model_validate(BASE | {"segmentation": rule}).segmentation, classes, epochs)
    assert [complaint in note for note in notes] == ([True] if complaint else [])
