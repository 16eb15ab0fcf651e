from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from training_photos import write_photos

from perisphere.training import Recipe


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture
def tree(photos, tmp_path) -> dict:
    """A recipe that trains in a second, as its YAML tree."""
    return {
        "name": "tiny",
        "data": [{"format": "folders", "root": str(photos)}],
        "net": {"backbone": "small32", "projection": 8},
        "preprocessing": {"size": [16, 16], "resize": "squash"},
        "optimizer": {"name": "sgd", "lr": 0.02},
        "augmentation": {"crop_area": [0.5, 1.0], "flip": 0.5, "erase": 0.5, "brightness": 0.2},
        "epochs": 2,
        "batch_size": 8,
        "accelerator": "cpu",
        "out": str(tmp_path / "run"),
    }


@pytest.fixture
def recipe(tree) -> Callable[..., Recipe]:
    return lambda **changes: Recipe.model_validate(tree | changes)


@pytest.fixture
def recipe_file(tree, tmp_path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path
