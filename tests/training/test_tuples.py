import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError
from training_photos import write_photos

from perisphere.encoder import Encoder, Preprocessing
from perisphere.errors import PerisphereError
from perisphere.losses import contrastive, triplet
from perisphere.nets import NetSpec, build
from perisphere.training import Recipe, train
from perisphere.training.freezing import frozen_norms
from perisphere.training.loader import Loader
from perisphere.training.modules import loss_for
from perisphere.training.photos import Photos
from perisphere.training.recipe import Freeze, TupleRule
from perisphere.training.recipe_files import load
from perisphere.training.tuple_order import TupleOrder, embedder


def order(targets: np.ndarray, **options) -> TupleOrder:
    made = TupleOrder(targets, **{"queries": 6, "pool": 20, "negatives": 2, "batch": 2, "seed": 1} | options)
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(len(targets), 4)).astype(np.float32)
    made.embed = lambda rows: vectors[rows]
    return made


TARGETS = np.array([0] * 5 + [1] * 5 + [2] * 5 + [3] * 5 + [4])


def test_each_tuple_is_a_query_its_positive_and_negatives_of_other_classes():
    made = order(TARGETS)
    tuples = made().rows.reshape(-1, 4)
    assert tuples.shape == (6, 4)
    assert made.count == 24
    assert len(set(tuples[:, 0])) == 6
    for query, positive, *negatives in tuples:
        assert query != positive
        assert TARGETS[query] == TARGETS[positive]
        assert len({TARGETS[row] for row in (query, *negatives)}) == 3
    assert 20 not in tuples[:, 0]  # alone in its class


def test_epochs_differ_and_follow_from_the_seed():
    made = order(TARGETS)
    first = made().rows
    made.set_epoch(1)
    assert not np.array_equal(made().rows, first)
    made.set_epoch(0)
    np.testing.assert_array_equal(made().rows, first)
    np.testing.assert_array_equal(order(TARGETS)().rows, first)
    assert not np.array_equal(order(TARGETS, seed=2)().rows, first)
    fixed = order(TARGETS, fixed=True)
    whole = fixed().rows
    fixed.set_epoch(7)
    np.testing.assert_array_equal(fixed().rows, whole)


def test_only_whole_batches_of_at_most_all_queries():
    assert order(TARGETS, queries=7, batch=3).count == 6 * 4
    assert order(TARGETS, queries=999, batch=1).count == 20 * 4
    assert order(TARGETS, queries=2, batch=5).count == 2 * 4


@pytest.mark.parametrize(
    ("targets", "words"),
    [(np.arange(5), "training photos: no class has two"), (np.array([0, 0, 1]), "need 3 classes")],
)
def test_what_cannot_make_tuples_is_an_error(targets, words):
    with pytest.raises(PerisphereError, match=words):
        order(targets)
    with pytest.raises(PerisphereError, match=r"validation photos: .* data.0.val=null"):
        order(targets, fixed=True)


def test_the_embedder_is_the_network_as_it_stands_and_leaves_its_modes(photos):
    paths = sorted(Path(photos).rglob("*.png"))[:10]
    size = Preprocessing(size=(16, 16), resize="squash")
    net = build(NetSpec(backbone="small32", projection=8), seed=0)
    net.train()
    net.backbone.stem.eval()
    modes = [module.training for module in net.modules()]
    loader = Loader(
        Photos(paths, np.zeros(10, np.int64)), size, batch_size=4, seed=0, shuffle=True, cache_mb=1
    )
    found = embedder(net, loader, size)(np.array([3, 9, 0, 0, 7]))
    assert [module.training for module in net.modules()] == modes
    expected = Encoder(net.eval(), size, name="x").encode(paths)
    np.testing.assert_allclose(found, expected[[3, 9, 0, 0, 7]], atol=1e-5)


def test_larger_pictures_are_cut_to_their_middle(photos):
    paths = sorted(Path(photos).rglob("*.png"))[:4]
    net = build(NetSpec(backbone="small32", projection=8), seed=0).eval()
    large = Loader(
        Photos(paths, np.zeros(4, np.int64)),
        Preprocessing(size=(20, 20), resize="squash"),
        batch_size=4, seed=0, shuffle=True, cache_mb=1,
    )  # fmt: skip
    small = Preprocessing(size=(16, 16), resize="squash")
    (pictures,) = large.pictures(np.arange(4))
    middle = [picture.numpy() for picture in pictures[:, 2:18, 2:18]]
    expected = Encoder(net, small, name="x").encode(middle)
    np.testing.assert_allclose(embedder(net, large, small)(np.arange(4)), expected, atol=1e-5)


@pytest.fixture
def wished(tmp_path):
    """Six classes, so that mining has a choice."""
    root = write_photos(tmp_path / "photos", classes=6, train=6, val=3)

    def make(**changes) -> Recipe:
        tree = {
            "name": "tuples", "method": "tuples", "accelerator": "cpu", "out": str(tmp_path / "run"),
            "data": [{"format": "folders", "root": str(root)}],
            "net": {"backbone": "small32", "projection": 8},
            "preprocessing": {"size": [16, 16], "resize": "squash"},
            "optimizer": {"name": "adam", "lr": 0.002}, "epochs": 3, "batch_size": 20,
            "tuples": {"negatives": 3, "queries": 30, "pool": 30},
        }  # fmt: skip
        return Recipe.model_validate(tree | changes)

    return make


@pytest.mark.parametrize("loss", ["contrastive", "triplet"])
def test_a_run_learns(wished, loss):
    recipe = wished(tuples={"negatives": 3, "queries": 30, "pool": 30, "loss": loss})
    encoder = Encoder.load(train(recipe))
    rows = json.loads((recipe.folder / "history.json").read_text())
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    losses = [row["val/loss"] for row in rows]
    assert losses[-1] < losses[0]
    assert encoder.provenance["epoch"] == 1 + losses.index(min(losses))
    assert encoder.metrics["val/loss"] == min(losses)


def test_the_same_seed_gives_the_same_weights_also_when_resumed(wished, tmp_path):
    def tensors(folder: Path) -> dict[str, torch.Tensor]:
        return Encoder.load(folder).net.state_dict()

    whole = tensors(train(wished(out=str(tmp_path / "whole"))))
    recipe = wished(out=str(tmp_path / "parts"), checkpoint_every=1)
    train(recipe)
    kept = recipe.folder / "checkpoints" / "data-1"
    (kept / "epoch-0001.ckpt").replace(kept / "last.ckpt")  # as if killed in the second epoch
    (kept / "done.json").unlink()
    again = tensors(train(recipe, resume=True))
    assert all(torch.equal(whole[name], value) for name, value in again.items())
    assert [row["epoch"] for row in json.loads((recipe.folder / "history.json").read_text())] == [1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 21}, "no whole number of tuples of 5 photos"),
        ({"label_smoothing": 0.1}, "label_smoothing is for method: landmark"),
        ({"classifier": {"name": "cosine"}}, "classifier is for method: landmark"),
        ({"devices": 2}, "set devices to 1"),
        ({"method": "landmark"}, "tuples is for method: tuples"),
        ({"freeze": {"all_norms": True, "frozen_norms": "train"}}, "leave one out"),
    ],
)
def test_what_the_method_would_not_look_at_is_refused(wished, changes, words):
    with pytest.raises(ValidationError, match=words):
        wished(**changes)


def test_margins_reach_the_loss():
    vectors = torch.nn.functional.normalize(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    labels = torch.tensor([-1, 1, 0, 0])
    for name, loss, default in (("contrastive", contrastive, 0.7), ("triplet", triplet, 0.1)):
        plain = loss_for(TupleRule(loss=name))(vectors, labels)
        assert plain == loss(vectors, labels, margin=default)
        assert loss_for(TupleRule(loss=name, margin=1.9))(vectors, labels) == loss(
            vectors, labels, margin=1.9
        )
        assert loss(vectors, labels, margin=1.9) != plain


def test_all_norms_stay_while_scale_and_shift_learn(wished):
    net = build(NetSpec(backbone="small32", bnneck=True))
    norms = [module for module in net.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    assert frozen_norms(net, Freeze(all_norms=True)) == norms
    recipe = wished(freeze={"all_norms": True}, epochs=1)
    after = Encoder.load(train(recipe)).net.state_dict()
    assert all(
        float(value.abs().max()) == 0 for name, value in after.items() if name.endswith("running_mean")
    )
    norm = "backbone.stem.1"
    assert not torch.equal(after[f"{norm}.weight"], torch.ones_like(after[f"{norm}.weight"]))


def test_the_packaged_recipe_is_the_published_one():
    recipe = load("retrieval-resnet101")
    assert (recipe.tuples.loss, recipe.tuples.margin, recipe.tuples.negatives) == ("contrastive", 0.85, 5)
    assert (recipe.tuples.queries, recipe.tuples.pool, recipe.optimizer.lr) == (2000, 22_000, 5e-7)
    assert recipe.batch_size == 5 * recipe.tuples.width
    assert recipe.freeze.all_norms


def test_the_recipe_file_takes_the_method(wished, tmp_path):
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(wished().model_dump(mode="json")))
    assert load(tmp_path / "t.yaml") == wished()
