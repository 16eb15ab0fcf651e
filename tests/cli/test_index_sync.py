import json
import os
import select
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

from perisphere.cli.main import app
from perisphere.encoder import Encoder, Preprocessing
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index
from perisphere.nets import NetSpec, build


def invoke(*words: object):
    return CliRunner().invoke(app, ["index", "sync", *map(str, words)])


def run(*words: object) -> str:
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path) -> Path:
    net = build(NetSpec(backbone="pixels", input_size=4))
    encoder = Encoder(net, Preprocessing(size=(4, 4)), name="pixels")
    Index.create(tmp_path / "index", encoder=encoder).close()
    for seed, name in enumerate(["dome/a.png", "tower/b.png"]):
        draw(tmp_path / "photos" / name, seed)
    return tmp_path / "index"


def test_what_is_done_is_told_photo_by_photo(folder):
    photos = folder.parent / "photos"
    assert run(folder, photos, "--dry-run").splitlines() == [
        "new             dome/a.png",
        "new             tower/b.png",
        "would be: 2 new, 0 as before; 0 images",
    ]
    assert run(folder, photos).splitlines()[0] == "new             dome/a.png  (id 1)"
    (photos / "dome/a.png").rename(photos / "tower/a.png")
    draw(photos / "tower/b.png", 9)
    (photos / "c\n.png").touch()
    assert run(folder, photos).splitlines() == [
        "changed         tower/b.png  (id 3)  (was id 2)",
        "moved           dome/a.png -> tower/a.png  (id 1)",
        "unreadable      c\\n.png: empty file (0 bytes)",
        "1 changed, 1 moved, 1 unreadable, 0 as before; 2 images",
    ]


def test_the_same_in_json(folder):
    photos = folder.parent / "photos"
    told = json.loads(run(folder, photos, "--json"))
    assert [entry["path"] for entry in told["new"]] == ["dome/a.png", "tower/b.png"]
    assert (told["images"], told["same"], told["dry_run"], told["unreadable"]) == (2, 0, False, [])
    draw(photos / "tower/copy.png", 1)
    told = json.loads(run(folder, photos, "--json"))
    assert [(near["path"], near["near_path"]) for near in told["near"]] == [("tower/copy.png", "tower/b.png")]
    draw(photos / "tower/again.png", 1)
    assert json.loads(run(folder, photos, "--json", "--no-duplicates"))["near"] == []


def test_long_lists_are_cut_on_the_screen(folder):
    for seed in range(20):
        draw(folder.parent / f"photos/dome/{seed}.png", 100 + seed)
    lines = run(folder, folder.parent / "photos").splitlines()
    assert sum(line.startswith("new") for line in lines) == 11
    assert "new             ... 12 more" in lines


def test_words_that_do_not_go_together_are_refused(folder):
    result = invoke(folder, folder.parent / "photos", "--watch", "--dry-run")
    assert isinstance(result.exception, UsageError)
    result = invoke(folder, folder.parent / "missing", "--watch")
    assert isinstance(result.exception, PerisphereError)


def test_the_watch_needs_its_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    result = invoke(folder, folder.parent / "photos", "--watch")
    assert "pip install 'perisphere[watch]'" in str(result.exception)


def next_line(process: subprocess.Popen[str]) -> dict:
    assert select.select([process.stdout], [], [], 60)[0], "the watch said nothing for a minute"
    return json.loads(process.stdout.readline())


def test_the_watch_follows_the_folder_until_it_is_interrupted(folder):
    pytest.importorskip("watchfiles")
    photos = folder.parent / "photos"
    words = [
        sys.executable,
        "-m",
        "perisphere",
        "index",
        "sync",
        str(folder),
        str(photos),
        "--watch",
        "--json",
    ]
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        # What a shell starts in the background ignores interrupts, and so does all that it starts.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            assert len(next_line(process)["new"]) == 2
            draw(photos / "dome/c.png", 5)
            (photos / "dome/a.png").rename(photos / "tower/a.png")
            seen: dict[str, int] = {"new": 0, "moved": 0}
            while min(seen.values()) == 0:
                told = next_line(process)
                seen = {name: count + len(told[name]) for name, count in seen.items()}
            assert seen == {"new": 1, "moved": 1}
            process.send_signal(signal.SIGINT)
            said, complained = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, said) == (0, "")
    assert complained.splitlines() == [f"watching {photos}; Ctrl-C ends it", "stopped"]
    with Index.open(folder) as index:
        assert index.verify() == []
        assert len(index) == 3
