import json
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import load_file

from perisphere.catalog.readers import read
from perisphere.errors import PerisphereError, UsageError
from perisphere.training import train
from perisphere.training.devices import (
    Nodes,
    Place,
    _free_port,
    check_devices,
    launch,
    place_from_environment,
)


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


def test_two_machines_end_where_one_ends(recipe, tmp_path):
    """Each machine is a call of its own, as it is a command of its own elsewhere."""
    options = {
        "net": {"backbone": "pixels", "input_size": 4, "projection": 8},
        "preprocessing": {"size": [4, 4], "resize": "squash"},
    }
    train(recipe(**options, out=tmp_path / "one"))
    shared = recipe(**options, out=tmp_path / "two")
    port, notes = _free_port(), list[str]()
    with ThreadPoolExecutor(2) as pool:
        machines = [Nodes.of(2, rank, f"127.0.0.1:{port}") for rank in (0, 1)]
        runs = [pool.submit(train, shared, nodes=nodes, tell=notes.append) for nodes in machines]
        assert [run.result(timeout=300) for run in runs] == [tmp_path / "two/encoder"] * 2
    assert sorted(notes) == [f"machine {rank} of 2, which meet at 127.0.0.1:{port}" for rank in (0, 1)]
    first, second = (load_file(tmp_path / name / "encoder/weights.safetensors") for name in ("one", "two"))
    for name in first:
        assert torch.allclose(first[name], second[name], atol=1e-5), name


def test_machines_are_named_so_that_they_find_each_other():
    assert Nodes.of(1, None, None) == Nodes()
    assert Nodes.of(3, 2, "first.lan") == Nodes(3, 2, "first.lan", 29500)
    assert Nodes.of(2, 0, "[fe80::1]:77") == Nodes(2, 0, "fe80::1", 77)
    for words, complaint in [
        ((1, 1, None), "say how many by --nodes"),
        ((2, None, "first"), "by --node-rank, 0 to 1"),
        ((2, 2, "first"), "by --node-rank, 0 to 1"),
        ((2, 0, None), "name machine 0 by --master"),
        ((2, 0, "first:99999"), "a port of 1 to 65535"),
        ((2, 0, ":80"), "a port of 1 to 65535"),
        ((2, 0, "fe80::1"), "an IPv6 address as"),
    ]:
        with pytest.raises(UsageError, match=complaint):
            Nodes.of(*words)


def test_machines_that_cannot_share_a_batch_leave_nothing_behind(recipe, monkeypatch):
    wanted, pair = recipe(batch_size=9), Nodes.of(2, 0, "127.0.0.1")
    with pytest.raises(UsageError, match="--nodes 2: batch_size 9 cannot be shared by 2 devices"):
        train(wanted, nodes=pair)
    words = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    for name, value in words.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="torchrun has told this process its place"):
        train(recipe(), nodes=pair)
    assert not wanted.folder.exists()


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


def test_what_one_process_could_not_read_is_said_once(recipe, photos, tmp_path, capfd):
    catalog = read("folders", photos)
    catalog.save(tmp_path / "catalog")
    broken = tmp_path / "photos"
    shutil.copytree(photos, broken)
    for photo in (broken / "train" / "class1").iterdir():
        photo.write_bytes(b"no photo")
    head = tmp_path / "catalog" / "catalog.json"
    head.write_text(head.read_text().replace(str(photos), str(broken)))
    data = [{"catalog": str(tmp_path / "catalog")}]
    with pytest.raises(PerisphereError, match=r"train/class1/\d+\.png: not a JPEG"):
        train(recipe(data=data, cache_mb=0, devices=2))
    assert capfd.readouterr().err == ""


def test_wrong_words_stay_wrong_words_across_processes(recipe):
    with pytest.raises(UsageError, match="layer9"):
        train(recipe(freeze={"stages": ["layer9"]}, devices=2))


def test_a_defect_in_a_process_is_named():
    program = (
        "import sys, time, os; from perisphere.training.devices import report_failure; "
        "report_failure(ZeroDivisionError('oh')) if os.environ['RANK'] == '1' else time.sleep(600); "
        "sys.exit(1)"
    )
    with pytest.raises(PerisphereError, match=r"process 1 of 2 ended with code 1 \(ZeroDivisionError: oh\)"):
        launch([sys.executable, "-c", program], 2)


@pytest.mark.parametrize(
    ("options", "gpus", "complaint"),
    [
        (
            {"accelerator": "gpu"},
            0,
            "^accelerator=gpu: this machine has no GPU .* take accelerator=auto or cpu",
        ),
        ({"accelerator": "gpu", "devices": 2}, 1, "^devices=2: this machine has 1 GPU; take devices=1"),
        ({"accelerator": "auto", "devices": 4}, 2, "^devices=4: this machine has 2 GPUs; take devices=2"),
    ],
)
def test_devices_that_are_not_there_leave_nothing_behind(recipe, monkeypatch, options, gpus, complaint):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    wanted = recipe(**options)
    with pytest.raises(UsageError, match=complaint):
        train(wanted)
    assert not wanted.folder.exists()
    check_devices(recipe(accelerator="cpu", devices=8))
