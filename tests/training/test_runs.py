import json
import statistics
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from perisphere.errors import PerisphereError, UsageError
from perisphere.training import train, train_runs
from perisphere.training.runs import summary


def weights(folder):
    return load_file(folder / "encoder" / "weights.safetensors")


def test_runs_differ_by_their_seed_and_are_summed_up(recipe, tmp_path):
    wished = recipe(seed=4, epochs=1, out=tmp_path / "all")
    found = train_runs(wished, 3)
    assert json.loads((tmp_path / "all" / "runs.json").read_text()) == found
    assert [run["seed"] for run in found["runs"]] == [4, 5, 6]
    losses = [run["metrics"]["val/loss"] for run in found["runs"]]
    assert found["mean"]["val/loss"] == pytest.approx(sum(losses) / 3)
    assert found["deviation"]["val/loss"] == pytest.approx(statistics.stdev(losses))
    assert len(set(losses)) == 3
    alone = train(recipe(seed=5, epochs=1, out=tmp_path / "alone")).parent
    first, second = weights(alone), weights(tmp_path / "all" / "run-1")
    assert all(torch.equal(first[name], second[name]) for name in first), "a run is that of its seed alone"


def test_stopped_runs_go_on_and_may_become_more(recipe, tmp_path, monkeypatch):
    wished = recipe(epochs=1, out=tmp_path / "all")
    from perisphere.training import runs

    once, begun = runs.train, []

    def stopped_in_the_second(one, **options):
        begun.append(one.seed)
        if len(begun) == 2:
            raise PerisphereError("stopped")
        return once(one, **options)

    monkeypatch.setattr(runs, "train", stopped_in_the_second)
    with pytest.raises(PerisphereError, match="stopped"):
        train_runs(wished, 2)
    kept = weights(tmp_path / "all" / "run-0")
    assert len(json.loads((tmp_path / "all" / "runs.json").read_text())["runs"]) == 1
    found = train_runs(wished, 3, resume=True)
    assert [run["seed"] for run in found["runs"]] == [0, 1, 2]
    again = weights(tmp_path / "all" / "run-0")
    assert all(torch.equal(kept[name], again[name]) for name in kept)
    with pytest.raises(UsageError, match="the run began with"):
        train_runs(recipe(epochs=2, out=tmp_path / "all"), 3, resume=True)


def test_folders_of_another_kind_are_left_alone(recipe, tmp_path):
    wished = recipe(out=tmp_path / "all")
    with pytest.raises(PerisphereError, match="no runs to resume"):
        train_runs(wished, 2, resume=True)
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "notes.txt").write_text("mine")
    with pytest.raises(PerisphereError, match="exists already"):
        train_runs(wished, 2)
    (tmp_path / "all" / "recipe.yaml").write_text("name: one")
    with pytest.raises(PerisphereError, match="holds a single run"):
        train_runs(wished, 2, resume=True)
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["notes.txt", "recipe.yaml"]


def test_only_figures_that_all_runs_have_are_summed_up():
    runs = [{"metrics": {"val/mAP": 0.25, "x": 1.0}}, {"metrics": {"val/mAP": 0.75}}]
    found = summary(runs)
    assert found["mean"] == {"val/mAP": 0.5}
    assert found["deviation"]["val/mAP"] == pytest.approx(0.5 * 2**-0.5)
    assert summary(runs[1:])["deviation"] == {"val/mAP": None}


@pytest.mark.slow
def test_processes_of_torchrun_train_every_run_together_and_one_of_them_tells(recipe_file, tmp_path):
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words += [
        "-m",
        "perisphere",
        "train",
        str(recipe_file),
        "--runs",
        "2",
        "--json",
        "-o",
        str(tmp_path / "all"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads((tmp_path / "all" / "runs.json").read_text())
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    assert done.stderr.count("run 2 of 2") == 1
