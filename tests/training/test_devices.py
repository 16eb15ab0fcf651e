import json
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from perisphere.errors import PerisphereError
from perisphere.training import train
from perisphere.training.devices import Place, launch, place_from_environment


def test_two_processes_end_where_one_ends(recipe, tmp_path):
    """Without batch norms the mean of two halves' gradients is the gradient of the joint batch."""
    options = {
        "net": {"backbone": "pixels", "input_size": 4, "projection": 8},
        "preprocessing": {"size": [4, 4], "resize": "squash"},
        "schedule": {"name": "cosine", "warmup": 1},
        "clip_gradient": 1.0,
    }
    one = train(recipe(**options, out=tmp_path / "one"))
    two = train(recipe(**options, out=tmp_path / "two", devices=2))
    first, second = (load_file(folder / "weights.safetensors") for folder in (one, two))
    for name in first:
        assert torch.allclose(first[name], second[name], atol=1e-5), name
    rows, others = (json.loads((folder.parent / "history.json").read_text()) for folder in (one, two))
    for row, other in zip(rows, others, strict=True):
        assert row == pytest.approx(other, abs=1e-5)


def test_a_process_that_fails_stops_the_others():
    program = "import os, sys, time; sys.exit(3) if os.environ['LOCAL_RANK'] == '1' else time.sleep(600)"
    begun = time.monotonic()
    with pytest.raises(PerisphereError, match="training process 1 of 3 ended with code 3"):
        launch([sys.executable, "-c", program], 3)
    assert time.monotonic() - begun < 300


def test_the_place_comes_from_the_launcher(recipe):
    assert place_from_environment(recipe(), {}) is None
    words = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
    assert place_from_environment(recipe(), words) == Place("cpu", 3, 4, 2)
    assert Place("cpu", 3, 4, 2).trainer_options()["num_nodes"] == 2
    with pytest.raises(PerisphereError, match="multiple of 3"):
        place_from_environment(recipe(), words | {"WORLD_SIZE": "3"})
