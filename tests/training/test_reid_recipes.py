import json
from pathlib import Path

import pytest

from perisphere.catalog.readers import read
from perisphere.catalog.scenes import write_scenes
from perisphere.encoder import Encoder
from perisphere.training import load, train
from perisphere.training.recipe import Recipe

ROWS = [
    ("market1501", "resnet50", 16, 3.5e-4, "32"),
    ("dukemtmc", "resnet50", 16, 3.5e-4, "16-mixed"),
    ("deepfashion", "resnet50", 48, 1e-4, "16-mixed"),
    ("deepfashion", "resnet50-ibn-a", 12, 1e-4, "16-mixed"),
    ("street2shop", "resnet50", 48, 1e-4, "16-mixed"),
    ("street2shop", "resnet50-ibn-a", 14, 1e-4, "16-mixed"),
]
SIZES = {"resnet50": (256, 128), "resnet50-ibn-a": (320, 320)}


@pytest.mark.parametrize(("data", "net", "identities", "rate", "precision"), ROWS)
def test_recipes_are_the_published_scripts(
    data: str, net: str, identities: int, rate: float, precision: str
) -> None:
    recipe = load(f"{data}-ctl-{net}")
    assert recipe.centroid.model_dump() == {
        "identities": identities,
        "instances": 4,
        "resample": False,
        "distance": "euclidean",
        "margin": 0.5,
        "triplet_weight": 1,
        "centroid_weight": 1,
        "center_weight": 5e-4,
        "center_lr": 0.5,
        "class_weight": 1,
        "corrected": False,
        "extra": (),
    }
    assert recipe.batch_size == 4 * identities
    assert (recipe.optimizer.name, recipe.optimizer.lr, recipe.optimizer.weight_decay) == ("adam", rate, 5e-4)
    assert (recipe.label_smoothing, recipe.epochs, recipe.precision) == (0.1, 120, precision)
    assert recipe.input.size == SIZES[net]
    assert (recipe.input.resize, recipe.input.smooth) == ("squash", True)
    assert (recipe.net.last_stride, recipe.net.bnneck, recipe.net.pooling) == (1, True, "spoc")
    assert recipe.net.stem_relu == (net != "resnet50")
    assert recipe.judge is not None
    assert (recipe.judge.every, recipe.judge.protocol) == (40, "instances")


@pytest.mark.parametrize(("data", "net"), [row[:2] for row in ROWS])
def test_published_figures_stand_beside_with_where_they_are_from(data: str, net: str) -> None:
    recipe = load(f"{data}-ctl-{net}")
    first = "rank-1" if data in ("market1501", "dukemtmc") else "top-1"
    assert list(recipe.published) == ["centroid mAP", f"centroid {first}"]
    assert all(0 < figure < 1 for figure in recipe.published.values())
    assert "of a gallery of centroids" in recipe.source
    assert "not checked against the paper's tables" in recipe.source


@pytest.mark.parametrize("name", [f"{row[0]}-ctl-{row[1]}" for row in ROWS])
def test_the_rate_warms_up_and_falls_as_published(name: str) -> None:
    recipe = load(name)
    rates = [recipe.schedule.factor(epoch + 0.5, 120, recipe.optimizer.lr) for epoch in range(120)]
    expected = [(e + 1) / 10 if e < 10 else 1 if e < 40 else 0.1 if e < 70 else 0.01 for e in range(120)]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("name", [f"{row[0]}-ctl-{row[1]}" for row in ROWS] + ["centroid-small"])
def test_a_baseline_differs_in_the_centroids_and_the_sampler_alone(name: str) -> None:
    ours = load(name)
    base = load(f"{name}-baseline" if name == "centroid-small" else name.replace("-ctl-", "-baseline-"))
    assert (base.centroid.centroid_weight, base.centroid.resample) == (0, True)
    plain = base.centroid.model_copy(update={"centroid_weight": 1, "resample": False})
    assert plain == ours.centroid
    apart = {"name", "about", "source", "published", "obtained", "centroid", "precision"}
    assert _rest(base, apart) == _rest(ours, apart)
    assert base.precision == "32"


def _rest(recipe: Recipe, apart: set[str]) -> dict[str, object]:
    return recipe.model_dump(exclude=apart)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    world = {"layout": "market1501", "landmarks": 6, "photos": 6, "cameras": 2, "size": 32, "truth": False}
    write_scenes(folder / "world", **world, workers=1)  # type: ignore[arg-type]
    read("market1501", folder / "world/market1501", out=folder / "catalog")
    return folder


@pytest.mark.parametrize("name", ["centroid-small", "centroid-small-baseline"])
def test_recipes_for_generated_identities_learn_and_are_judged(name: str, people: Path) -> None:
    words = [f"data.0.catalog={people / 'catalog'}", f"out={people / name}", "epochs=2", "judge.every=1"]
    words += ["centroid.identities=3", "preprocessing.size=[32, 16]", "preprocessing.smooth=true"]
    recipe = load(name, words)
    assert Encoder.load(train(recipe)).preprocessing == recipe.input
    history = json.loads((people / name / "history.json").read_text())
    assert len(history) == 2
    assert all(0 < epoch["val/mAP"] <= 1 for epoch in history)
    assert all(("train/centroid_loss" in epoch) == (name == "centroid-small") for epoch in history)
