"""The recipes of Barz and Denzler's table: what they say, and that what they say can be done."""

import pytest
import torch
from training_photos import write_photos

from perisphere.catalog.readers import read
from perisphere.encoder import Encoder, Preprocessing
from perisphere.errors import UsageError
from perisphere.nets import build
from perisphere.nets.classifiers import SemanticClassifier
from perisphere.training import load, packaged, train
from perisphere.training.optimisation import optimisation

TABLE = {  # mAHP@250, balanced accuracy, epochs, batch, lr, input
    "cifar100-plain11": (0.8189, 0.7410, 372, 100, 0.1, "cifar-100"),
    "cifar100-resnet110-wfc": (0.8312, 0.7660, 372, 100, 0.1, "cifar-100"),
    "cifar100-pyramidnet272": (0.8621, 0.8049, 372, 100, 0.1, "cifar-100"),
    "nabirds-resnet50": (0.7384, 0.5946, 180, 128, 0.5, "nab"),
    "nabirds-resnet50-tuned": (0.8129, 0.6949, 180, 128, 0.5, "nab-ilsvrcmean"),
    "nabirds-resnet50-448": (0.8216, 0.7043, 180, 128, 0.5, "nab-large"),
    "nabirds-resnet50-448-tuned": (0.8793, 0.7679, 180, 128, 0.5, "nab-large-ilsvrcmean"),
    "cub-resnet50-448": (0.8316, 0.7014, 372, 96, 0.5, "cub"),
    "cub-resnet50-448-tuned": (0.9206, 0.8023, 372, 96, 0.5, "cub-ilsvrcmean"),
    "ilsvrc-resnet50": (0.8298, 0.7042, 80, 128, 0.1, "ilsvrc"),
}


@pytest.mark.parametrize("name", TABLE)
def test_every_row_is_there_with_its_figures_and_settings(name):
    recipe = load(name)
    mahp, accuracy, epochs, batch, lr, preset = TABLE[name]
    assert recipe.published == {"mAHP@250": mahp, "balanced accuracy": accuracy}
    assert (recipe.epochs, recipe.batch_size, recipe.optimizer.lr) == (epochs, batch, lr)
    assert recipe.input == Preprocessing.published(preset)
    assert (recipe.schedule.name, recipe.clip_gradient, recipe.method) == ("sgdr", 10, "hierarchy")
    assert (recipe.hierarchy.loss, recipe.hierarchy.cls_weight) == ("inv_corr", 0.1)
    assert recipe.schedule.factor(recipe.epochs - 1, recipe.epochs, lr) < 1e-4, "ends at the foot of a cycle"
    assert recipe.norm_momentum == 0.01
    assert (recipe.finetune_init is not None) == name.endswith("tuned") == (recipe.weights is not None)


@pytest.mark.parametrize("name", TABLE)
def test_what_decays_is_the_published_penalty_twice(name):
    recipe = load(name)
    with torch.device("meta"):
        net = build(recipe.net.model_copy(update={"projection": 7}))
        optimizer = optimisation(recipe, net, SemanticClassifier(7, 7))
    penalty = {"cifar100-plain11": 5e-4}.get(name, 2e-4 if name.startswith("cifar") else 0)
    found = {(group["name"], group["weight_decay"]) for group in optimizer.param_groups}
    on_projection = 0 if name == "cifar100-plain11" else 2 * penalty
    assert found >= {("classifier", 1e-3), ("classifier", 0), ("projection", on_projection)}
    backbone = {decay for stage, decay in found if stage not in ("classifier", "projection")}
    assert backbone == {2 * penalty, 0}


@pytest.fixture
def catalog(tmp_path, monkeypatch):
    """Photos of three classes as the catalog `photos`, with their tree in `tree.txt`."""
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "raw", side=36, train=6, val=1)
    read("folders", tmp_path / "raw", out=tmp_path / "photos")
    (tmp_path / "tree.txt").write_text("root pair\npair class0\npair class1\nroot class2\n")


SMALL = ["data.0.catalog=photos", "hierarchy={taxonomy: tree.txt, loss: inv_corr, cls_weight: 0.1}"]
QUICK = [*SMALL, "batch_size=9", "accelerator=cpu", "checkpoint_every=0"]


@pytest.mark.usefixtures("catalog")
def test_the_recipe_of_plain_11_trains():
    folder = train(load("cifar100-plain11", [*QUICK, "epochs=1", "out=run"]))
    encoder = Encoder.load(folder)
    assert (encoder.dim, encoder.net.spec.backbone) == (3, "plain11")
    assert encoder.preprocessing == Preprocessing.published("cifar-100")
    assert encoder.classes is not None
    assert encoder.classes.point("pair").shape == (3,)


@pytest.mark.usefixtures("catalog")
def test_the_recipe_of_fine_tuned_birds_trains_from_an_encoder_of_other_classes():
    words = [
        *QUICK,
        "net.backbone=small32",
        "preprocessing={published: nab-ilsvrcmean, size: [24, 24], shorter: 30}",
        "augmentation.shorter=[28, 40]",
        "epochs=1",
    ]
    train(
        load("nabirds-resnet50", [*words, "hierarchy.taxonomy=null", "hierarchy.points=onehot", "out=first"])
    )
    again = load(
        "nabirds-resnet50-tuned", [*words, "finetune_init.epochs=1", "weights=first/encoder", "out=second"]
    )
    encoder = Encoder.load(train(again))
    assert encoder.preprocessing == again.input
    assert encoder.classes.taxonomy is not None


def test_a_decay_of_a_stage_that_is_none_is_named(recipe, tmp_path):
    with pytest.raises(UsageError, match=r"'optimizer.decays'.*no stage 'projektion'.*'projection'"):
        train(recipe(optimizer={"decays": {"projektion": 0}}))
    with pytest.raises(UsageError, match=r"'optimizer.decays.stem' is -1"):
        train(recipe(optimizer={"decays": {"stem": -1}}, out=tmp_path / "other"))


def test_figures_are_shares():
    for path in packaged().values():
        recipe = load(path)
        assert all(0 < figure <= 1 for figure in [*recipe.published.values(), *recipe.obtained.values()])
