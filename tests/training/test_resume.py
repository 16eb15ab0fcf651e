import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from perisphere.training import train
from perisphere.training.recipe_files import save

PROGRAM = "import sys; from perisphere.training import load, train; train(load(sys.argv[1]))"


def end_state(folder):
    """Everything that a further epoch would start from."""
    return torch.load(folder / "checkpoints" / "data-1" / "last.ckpt", weights_only=True)


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def kill_in_epoch(epoch, recipe, path):
    """Start training in another process and kill it while it is in ``epoch`` (from 1)."""
    save(recipe, path)
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], env=environment)
    history = recipe.folder / "history.json"
    deadline = time.monotonic() + 120
    while not history.exists() or len(json.loads(history.read_text())) < epoch - 1:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_a_killed_and_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(recipe, tmp_path):
    options = {
        "epochs": 12,
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True},
        "schedule": {"name": "cosine", "warmup": 2},
    }
    whole, killed = recipe(**options, out=tmp_path / "whole"), recipe(**options, out=tmp_path / "killed")
    train(whole)
    kill_in_epoch(4, killed, tmp_path / "killed.yaml")
    assert not (killed.folder / "encoder").exists()
    train(killed, resume=True)

    one, other = end_state(whole.folder), end_state(killed.folder)
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "epoch", "global_step"):
        assert same(one[part], other[part]), part
    best, again = (load_file(run.folder / "encoder" / "weights.safetensors") for run in (whole, killed))
    assert same(best, again)
    rows, repeated = (json.loads((run.folder / "history.json").read_text()) for run in (whole, killed))
    assert rows == repeated
    assert len(rows) == 12


def test_killed_in_the_second_data_set(recipe, photos, tmp_path, monkeypatch):
    from perisphere.training import keeping

    data = [{"format": "folders", "root": str(photos)}] * 2
    whole, killed = recipe(data=data, out=tmp_path / "whole"), recipe(data=data, out=tmp_path / "killed")
    train(whole)

    class PowerCutError(Exception):
        pass

    def cut(self, trainer, module, *args):
        if self.data == 2 and trainer.current_epoch == 1:
            raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(keeping.History, "on_train_batch_end", cut, raising=False)
        with pytest.raises(PowerCutError):
            train(killed)
    assert (killed.folder / "checkpoints" / "data-1" / "done.json").exists()
    assert not (killed.folder / "encoder").exists()
    train(killed, resume=True)
    best, again = (load_file(run.folder / "encoder" / "weights.safetensors") for run in (whole, killed))
    assert same(best, again)
    rows, repeated = (json.loads((run.folder / "history.json").read_text()) for run in (whole, killed))
    assert rows == repeated
