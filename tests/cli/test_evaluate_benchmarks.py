import json

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from perisphere.cli import evaluate  # noqa: F401  (registers the verb)
from perisphere.cli.main import app
from perisphere.encoder.embeddings import Embeddings
from perisphere.errors import PerisphereError, UsageError

COLOURS = {"a": (200, 30, 30), "b": (30, 200, 30)}


def run(*words):
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def embed(folder, names, splits, labels, seed, dtype=np.float32):
    """Random vectors near one direction a label, and a photo of one colour each."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((len(names), 8)) / 2
    for row, label in enumerate(labels):
        if label is not None:
            vectors[row, ord(label) % 8] += 2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for name, label in zip(names, labels, strict=True):
        Image.new("RGB", (60, 40), COLOURS.get(label, (90, 90, 90))).save(folder / f"{name}.png")
    rows = pl.DataFrame(
        {
            "id": range(len(names)),
            "path": [f"{name}.png" for name in names],
            "split": splits,
            "label": labels,
            "box": [[10, 5, 50, 30] if split == "query" else None for split in splits],
        },
        schema_overrides={"split": pl.String, "label": pl.String, "box": pl.List(pl.Int64)},
    )
    encoder = {"name": "e", "identity": "0" * 16, "dim": 8, "path": ""}
    return Embeddings(vectors.astype(dtype), rows, root=folder, encoder=encoder)


@pytest.fixture
def places(tmp_path):
    names = ["qa", "qb", *(f"{label}{n}" for label in "ab" for n in range(6)), "x0", "x1"]
    splits = ["query"] * 2 + ["index"] * 14
    labels = ["a", "b", *"aaaaaabbbbbb", None, None]
    embed(tmp_path, names, splits, labels, 0).save(tmp_path / "vectors")
    extra = [f"z{n}" for n in range(30)]
    embed(tmp_path, extra, [None] * 30, [None] * 30, 1, np.float16).save(tmp_path / "distractors")
    gallery = names[2:]
    truth = [
        {
            "bbx": [10, 5, 50, 30],
            "easy": [gallery.index(f"{label}{n}") for n in (0, 1)],
            "hard": [gallery.index(f"{label}{n}") for n in (2, 3, 4)],
            "junk": [gallery.index(f"{label}5")],
        }
        for label in "ab"
    ]
    known = {"imlist": gallery, "qimlist": names[:2], "gnd": truth}
    (tmp_path / "gnd.json").write_text(json.dumps(known))
    classic = [{"bbx": each["bbx"], "ok": each["easy"], "junk": each["junk"]} for each in truth]
    (tmp_path / "classic.json").write_text(json.dumps(known | {"gnd": classic}))
    lines = ["id,images,Usage", "qa,a0 a1 a2,Public", "qb,b0,Private", "nobody,None,Ignored"]
    (tmp_path / "solution.csv").write_text("\n".join(lines))
    return tmp_path


def report(*words):
    result = run(*words, "--json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


def test_revisited_with_distractors_in_half_precision(places):
    plain = report("revisited", places / "vectors", "--truth", places / "gnd.json")
    assert set(plain["values"]) == {
        f"{setting} {name}"
        for setting in ("easy", "medium", "hard")
        for name in ("mAP", "mP@1", "mP@5", "mP@10")
    }
    assert plain["counts"]["gallery"] == 14
    assert plain["data"]["truth"] == str(places / "gnd.json")
    words = ["--truth", places / "gnd.json", "--distractors", places / "distractors", "--block", 5]
    more = report("revisited", places / "vectors", *words)
    assert (more["counts"]["gallery"], more["counts"]["distractors"]) == (44, 30)
    assert 0 < more["values"]["medium mAP"] < plain["values"]["medium mAP"]


def test_curves_of_each_setting(places):
    words = ["--truth", places / "gnd.json", "-o", places / "r.json", "--plots", places / "plots"]
    curves = report("revisited", places / "vectors", *words)["curves"]
    assert set(curves) == {"recall", "easy precision", "medium precision", "hard precision"}
    assert len(curves["hard precision"]) == len(curves["recall"])
    assert sorted(file.name for file in (places / "plots").iterdir()) == [
        "precision-recall.png",
        "precision-recall.svg",
    ]
    assert run("compare", places / "r.json", places / "r.json", "--plots", places / "both").exit_code == 0


def test_oxford_and_google_landmarks(places):
    assert (
        "mP@3" in report("oxford", places / "vectors", "--truth", places / "classic.json", "--k", 3)["values"]
    )
    found = report("gldv2", places / "vectors", "--truth", places / "solution.csv")
    assert set(found["values"]) == {"mAP@100"}
    assert found["counts"]["queries"] == 2


@pytest.mark.parametrize("protocol", ["revisited", "retrieval", "landmark"])
def test_reranked_and_the_worst_queries_as_a_picture(places, protocol):
    words = [protocol, places / "vectors", "--rerank", "alphaqe(n=2)+label", "--depth", 9]
    words += ["--truth", places / "gnd.json"] if protocol == "revisited" else []
    found = report(*words, "--worst", places / "worst.png")
    assert found["options"]["rerank"].startswith("alphaqe(n=2,")
    assert found["options"]["depth"] == 9
    with Image.open(places / "worst.png") as sheet:
        colours = {colour for _, colour in sheet.convert("RGB").getcolors(1 << 24)}
    assert (43, 158, 92) in colours  # right
    assert ((226, 165, 46) in colours) == (protocol == "revisited")  # ignored


def test_landmark_says_both_figures(places):
    found = report("landmark", places / "vectors", "--query", "query", "--gallery", "index")
    values = found["values"]
    assert list(values)[:5] == ["landmark_ap@5", "mAP (classes)", "landmark_accuracy", "accuracy", "mAP"]
    assert found["classes"]["a"]["queries"] == 1
    assert found["options"]["neighbours"] == 3


def test_the_legacy_vote(places):
    found = report("classification", places / "vectors", "--vote", "legacy", "--neighbours", 3)
    assert "sorts first" in found["conventions"]["vote"]


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["revisited"], UsageError, "revisited needs a ground truth"),
        (["retrieval", "--truth", "gnd.json"], UsageError, "--truth means nothing for retrieval"),
        (["oxford", "--truth", "gnd.json"], UsageError, "use `perisphere evaluate revisited`"),
        (["revisited", "--truth", "nothing.json"], PerisphereError, "nothing.json"),
        (["revisited", "--truth", "gnd.json", "--gallery", "test"], PerisphereError, "splits here are index"),
        (["retrieval", "--depth", "5"], UsageError, "give --rerank too"),
        (
            ["retrieval", "--rerank", "label", "--ties", "optimistic"],
            UsageError,
            "--ties means nothing for re",
        ),
        (["landmark", "--rerank", "label", "--block", "2"], UsageError, "--block means nothing for re"),
        (["revisited", "--rerank", "label", "--block", "2"], UsageError, "--block means nothing for re"),
        (["retrieval", "--rerank", "lable"], UsageError, "Did you mean 'label'"),
        (["retrieval", "--worst", "worst.gif"], UsageError, "a sheet is a .jpg or .png"),
        (["gldv2", "--truth", "solution.csv", "--k", "5"], UsageError, "--k means nothing for gldv2"),
    ],
)
def test_errors_name_the_mend(places, monkeypatch, words, kind, said):
    monkeypatch.chdir(places)
    result = run(words[0], "vectors", *words[1:])
    assert type(result.exception) is kind
    assert said in str(result.exception)
