import pytest
import yaml
from pydantic import ValidationError

from perisphere.encoder import Preprocessing
from perisphere.errors import UsageError
from perisphere.training import Recipe, find, load, packaged
from perisphere.training.recipe_files import save


def message(path, *overrides):
    with pytest.raises(UsageError) as caught:
        load(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_packaged_recipe_is_valid_and_named_like_its_file():
    assert {"landmark-small", "cifar10-small", "landmark-resnet50", "landmark-resnet152"} <= set(packaged())
    for name, path in packaged().items():
        recipe = load(path)
        assert recipe.name == name
        assert recipe.about


def test_a_recipe_is_found_by_name_and_a_wrong_name_gets_the_nearest():
    assert find("landmark-small").name == "landmark-small.yaml"
    with pytest.raises(UsageError, match=r"landmark-smal: no such recipe.*Did you mean 'landmark-small'"):
        find("landmark-smal")


def test_a_part_without_a_name_is_of_the_default_kind(recipe):
    made = recipe(optimizer={"lr": 0.5}, schedule={"warmup": 1}, classifier={})
    assert (made.optimizer.name, made.optimizer.lr) == ("sgd", 0.5)
    assert (made.schedule.name, made.classifier.name) == ("constant", "linear")


def test_saved_recipe_loads_to_the_same(recipe, tmp_path):
    changed = recipe(classifier={"name": "cosine"}, schedule={"name": "step", "every": 3})
    save(changed, tmp_path / "saved.yaml")
    assert load(tmp_path / "saved.yaml") == changed


def test_overrides_are_yaml_and_make_the_way_to_their_key(recipe_file):
    recipe = load(recipe_file, ["optimizer.lr=0.5", "data.0.val=null", "freeze.stages=[stem]", "epochs=7"])
    assert (recipe.optimizer.lr, recipe.data[0].val) == (0.5, None)
    assert (recipe.freeze.stages, recipe.epochs) == (("stem",), 7)


@pytest.mark.parametrize(
    ("override", "key", "mend"),
    [
        ("optimizer.learning_rate=1", "optimizer.learning_rate", "Did you mean 'lr'?"),
        ("optimizer.momentun=1", "optimizer.momentun", "Did you mean 'momentum'?"),
        ("batchsize=1", "batchsize", "Did you mean 'batch_size'?"),
        ("lr=1", "lr", "Did you mean 'optimizer.lr'?"),
        ("net.backbon=small", "net.backbon", "Did you mean 'backbone'?"),
        ("data.0.rot=x", "data.0.rot", "Did you mean 'root'?"),
        ("schedule={name: step, every: 2, gama: 1}", "schedule.gama", "Did you mean 'gamma'?"),
        ("freeze.qqqq=1", "freeze.qqqq", "The keys here are head_only"),
        ("preprocessing.men=1", "preprocessing.men", "Did you mean 'mean'?"),
    ],
)
def test_an_unknown_key_names_itself_and_the_nearest_right_one(recipe_file, override, key, mend):
    text = message(recipe_file, override)
    assert text.startswith(f"override {override!r}: {key!r} is not a key.")
    assert mend in text


def test_an_unknown_key_in_the_file_names_the_file(tree, tmp_path):
    tree["optimizer"]["learning_rate"] = 1
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(tree))
    assert message(path) == f"{path}: 'optimizer.learning_rate' is not a key. Did you mean 'lr'?"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("epochs=0", ["epochs", "0", "greater than or equal to 1"]),
        ("optimizer.lr=-1", ["optimizer.lr", "-1", "greater than 0"]),
        ("optimizer.lr=fast", ["optimizer.lr", "'fast'", "number"]),
        ("optimizer.name=sdg", ["optimizer.name", "'sdg'", "'sgd'", "'adamw'"]),
        ("optimizer={name: sgd, momentum: 0, nesterov: true}", ["optimizer", "nesterov needs momentum"]),
        ("label_smoothing=1", ["label_smoothing", "1", "less than 1"]),
        ("precision=64", ["precision", "64", "bf16-mixed"]),
        ("net.backbone=resnet51", ["net.backbone", "resnet51", "resnet50"]),
        ("method=landmak", ["method", "landmak", "landmark"]),
        ("devices=3", ["batch_size 8", "3 devices", "multiple of 3"]),
        ("freeze={head_only: true, first: 3}", ["freeze", "one of head_only"]),
        ("data=[]", ["data", "at least 1"]),
        ("data.0.format=null", ["data.0", "catalog"]),
        ("augmentation.crop_area=[0.9, 0.1]", ["augmentation", "crop_area", "low <= high"]),
        ("augmentation={crop_ratio: [1, 1]}", ["augmentation", "crop_ratio needs a crop"]),
        ("augmentation={erase_fill: noise}", ["augmentation", "erase_fill needs erase above 0"]),
        ("augmentation={erase: 0, erase_area: [0.1, 0.2]}", ["augmentation", "erase_area needs erase"]),
        ("data=[{catalog: x, options: {a: 1}}]", ["data.0", "not `catalog`"]),
        ("net.gem_p=4", ["net", "gem_p needs pooling: gem, not spoc"]),
        ("schedule={name: step}", ["schedule.every", "missing"]),
        ("schedule={name: sgdr, min_lr: 1}", ["schedule.min_lr 1 is above optimizer.lr 0.02", "lower"]),
        ("schedule={name: clr, min_lr: 1}", ["schedule.min_lr 1 is above optimizer.lr 0.02", "lower"]),
        ("norm_momentum=0", ["norm_momentum", "greater than 0"]),
        ("seed=-1", ["seed", "-1"]),
    ],
)
def test_a_wrong_value_names_the_place_the_value_and_the_mend(recipe_file, override, words):
    text = message(recipe_file, override)
    for word in words:
        assert word in text, text


@pytest.mark.parametrize(
    "override", ["epochs", "=3", "data.5.root=x", "data.first.root=x", "name.x=1", "a=[1"]
)
def test_a_wrong_override_is_named(recipe_file, override):
    assert override in message(recipe_file, override)


def test_epochs_are_the_schedules_own_where_none_are_given(tree):
    del tree["epochs"]
    published = {"name": "sgdr", "base": 12, "multiplier": 2}
    assert Recipe.model_validate(tree | {"schedule": published}).epochs == 372
    assert Recipe.model_validate(tree | {"schedule": published, "epochs": 3}).epochs == 3
    listed = {"name": "piecewise", "points": "1:0.1,31:0.01,50"}
    assert Recipe.model_validate(tree | {"schedule": listed}).epochs == 50
    with pytest.raises(ValidationError, match="epochs"):
        Recipe.model_validate(tree | {"schedule": {"name": "cosine"}})


def test_first_epochs_of_new_layers_are_a_number_or_a_part(recipe, tree):
    assert recipe().finetune_init is None
    made = recipe(weights="encoder", finetune_init=8)
    assert (made.finetune_init.epochs, made.finetune_init.lr) == (8, None)
    assert recipe(weights="encoder", finetune_init={"epochs": 3, "lr": 0.1}).finetune_init.lr == 0.1
    assert recipe(finetune_init=0).finetune_init is None
    with pytest.raises(ValidationError, match="name them with weights"):
        recipe(finetune_init=8)


def test_a_published_preprocessing_by_name(recipe, recipe_file):
    assert recipe(preprocessing="cub-caffe").input == Preprocessing.published("cub-caffe")
    smaller = recipe(preprocessing={"published": "nab", "size": [64, 64], "shorter": 72}).input
    assert (smaller.size, smaller.shorter) == ((64, 64), 72)
    assert message(recipe_file, "preprocessing=nap").endswith("Did you mean 'nab'?")


def test_random_sides_are_no_shorter_than_the_input(recipe):
    augmentation = {"shorter": [15, 20]}
    with pytest.raises(ValidationError, match=r"begins at 15 pixels.*\(16, 16\)"):
        recipe(augmentation=augmentation)


def test_a_precision_may_be_a_number(recipe_file):
    assert load(recipe_file, ["precision=32"]).precision == "32"


def test_files_that_are_no_recipes(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("name: [1\nb: 2")
    assert "wrong.yaml line 2" in message(path)
    path.write_text("- a")
    assert "key: value" in message(path)
    path.write_bytes(b"name: \xff")
    assert "UTF-8" in message(path)
    path.write_text("x: !!python/object/apply:os.system [x]")
    assert "is not YAML" in message(path)


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "short.yaml"
    path.write_text("name: x\nepochs: 1\nnet: {backbone: small}\n")
    assert "'data' is missing" in message(path)


def test_the_fine_tuning_recipe_says_what_was_published():
    recipe = load("landmark-resnet152")
    assert isinstance(recipe, Recipe)
    assert (recipe.optimizer.lr, recipe.batch_size, recipe.epochs) == (0.001, 32, 100)
    assert (recipe.freeze.first, recipe.schedule.name) == (300, "constant")
