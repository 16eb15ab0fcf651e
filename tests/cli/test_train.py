import json
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import perisphere.cli.recipes
import perisphere.cli.train  # noqa: F401
from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from training_photos import write_photos


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def tiny(tmp_path):
    root = write_photos(tmp_path / "photos", classes=2, train=8, val=4)
    path = tmp_path / "tiny.yaml"
    tree = {
        "name": "tiny",
        "data": [{"format": "folders", "root": str(root)}],
        "net": {"backbone": "small32", "projection": 8},
        "preprocessing": {"size": [16, 16], "resize": "squash"},
        "epochs": 3,
        "batch_size": 8,
        "accelerator": "cpu",
    }
    path.write_text(yaml.safe_dump(tree))
    return path


def test_training_ends_with_the_next_command(tiny, tmp_path):
    out = tmp_path / "run"
    result = invoke("train", tiny, "epochs=1", "optimizer={name: adamw, lr: 0.01}", "-o", out)
    assert result.exit_code == 0, result.output
    assert f"Next: perisphere embed CATALOG --encoder {out / 'encoder'} -o VECTORS" in result.stdout
    assert "16 photos of 2 classes" in result.stdout
    assert "Lightning" not in result.output
    assert "GPU available" not in result.output
    again = invoke("train", tiny, "epochs=1", "-o", out)
    assert isinstance(again.exception, PerisphereError)
    assert "--resume" in str(again.exception)


def test_json_and_resume(tiny, tmp_path):
    out = tmp_path / "run"
    assert invoke("train", tiny, "-o", out, "--json").exit_code == 0
    result = invoke("train", tiny, "-o", out, "--json", "--resume")
    told = json.loads(result.stdout)
    assert told["epochs"] == 3
    assert told["classes"] == 2
    assert 0 <= told["metrics"]["val/accuracy"] <= 1


def test_a_misspelt_key_is_a_usage_error(tiny):
    result = invoke("train", tiny, "optimizer.learning_rate=1")
    assert isinstance(result.exception, UsageError)
    assert "Did you mean 'lr'?" in str(result.exception)


def test_recipes_are_listed_and_shown():
    listing = invoke("recipes", "list").stdout
    assert "landmark-small" in listing
    assert "Not every published figure was checked" in listing
    named = [row["name"] for row in json.loads(invoke("recipes", "list", "--json").stdout)]
    assert "landmark-resnet152" in named
    shown = invoke("recipes", "show", "landmark-small").stdout
    assert yaml.safe_load(shown)["name"] == "landmark-small"
    listed = {row["name"]: row for row in json.loads(invoke("recipes", "list", "--json").stdout)}
    assert listed["cifar100-plain11"]["published"]["mAHP@250"] == 0.8189
    assert listed["cifar100-plain11"]["obtained"] == {}
    with_figures = invoke("recipes", "show", "cifar100-plain11").stdout
    assert yaml.safe_load(with_figures)["epochs"] == 372
    assert with_figures.splitlines()[-2].split() == ["#", "mAHP@250", "0.8189", "-"]
    whole = yaml.safe_load(invoke("recipes", "show", "landmark-small", "epochs=3").stdout)
    assert (whole["epochs"], whole["checkpoint_every"]) == (3, 5)
    assert json.loads(invoke("recipes", "show", "landmark-small", "--json").stdout)["method"] == "landmark"


def test_several_runs_are_told_with_mean_and_deviation(tiny, tmp_path):
    out = tmp_path / "runs"
    result = invoke("train", tiny, "epochs=1", "--runs", 2, "-o", out)
    assert result.exit_code == 0, result.output
    assert "seed 0: epoch 1 is kept" in result.stdout
    assert "Mean and deviation of 2 runs: train/accuracy" in result.stdout
    assert "+-" in result.stdout
    told = json.loads(invoke("train", tiny, "epochs=1", "--runs", 2, "-o", out, "--resume", "--json").stdout)
    assert told == json.loads((out / "runs.json").read_text())
    assert [run["encoder"] for run in told["runs"]] == [str(out / f"run-{n}" / "encoder") for n in range(2)]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--node-rank", "1"], "say how many by --nodes"),
        (["--nodes", "2", "--master", "first"], "by --node-rank, 0 to 1"),
        (
            ["--nodes", "2", "--node-rank", "0", "--master", "first", "--runs", "2"],
            "--runs: takes one machine",
        ),
        (["--nodes", "3", "--node-rank", "0", "--master", "first"], "batch_size 8 cannot be shared by 3"),
    ],
)
def test_machines_that_do_not_go_together_are_refused_before_anything_is_written(
    tiny, tmp_path, words, complaint
):
    result = invoke("train", tiny, "-o", tmp_path / "run", *words)
    assert isinstance(result.exception, UsageError)
    assert complaint in str(result.exception)
    assert not (tmp_path / "run").exists()
