import csv
import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from perisphere.cli import evaluate  # noqa: F401  (registers the verb)
from perisphere.cli.main import app
from perisphere.encoder.embeddings import Embeddings
from perisphere.errors import PerisphereError, UsageError
from perisphere.taxonomy import ClassPoints

LABELS = ["lion", "tiger", "wolf", "robin"]
PAIRS = "1 2\n1 3\n2 10\n2 11\n3 12\n1 13\n"
NAMES = "1 animal\n2 cat\n3 dog\n10 lion\n11 tiger\n12 wolf\n13 robin\n"


def run(*words):
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def values(*words):
    result = run(*words, "--json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)["values"]


@pytest.fixture
def folder(tmp_path):
    """Forty vectors near four axes, of four animals; a taxonomy by number, and its names."""
    (tmp_path / "tree.txt").write_text(PAIRS)
    (tmp_path / "names.txt").write_text(NAMES)
    save(tmp_path / "vectors")
    return tmp_path


def save(folder, **encoder):
    labels = LABELS * 10
    vectors = np.eye(4)[[LABELS.index(label) for label in labels]]
    vectors = vectors + np.random.default_rng(1).normal(0, 0.3, vectors.shape)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    rows = pl.DataFrame(
        {
            "id": range(40),
            "path": [f"{i}.jpg" for i in range(40)],
            "split": ["train" if i < 20 else "test" for i in range(40)],
            "label": labels,
        }
    )
    described = {"name": "e", "identity": "0" * 16, "dim": 4, "path": ""} | encoder
    Embeddings(vectors, rows, root=folder.parent, encoder=described).save(folder)


@pytest.fixture
def words(folder):
    return [
        "hierarchy",
        folder / "vectors",
        "--taxonomy",
        folder / "tree.txt",
        "--names",
        folder / "names.txt",
    ]


def test_a_report_with_plots_and_csv(words, folder):
    out, plots, table = (folder / name for name in ("report.json", "plots", "curves.csv"))
    result = run(*words, "-o", out, "--plots", plots, "--csv", table, "--k", "1,3", "--ahp", 20)
    assert result.exit_code == 0, result.exception
    assert "mAHP@20 (LCS height)" in result.stdout
    report = json.loads(out.read_text())
    assert report["counts"]["queries"] == report["counts"]["gallery"] == 40
    assert {"HP@1 (WUP)", "HP@3 (WUP)"} <= set(report["values"])
    assert (plots / "mahp.svg").is_file()
    lines = list(csv.reader(table.read_text().splitlines(), delimiter=";"))
    assert lines[0] == ["k", "vectors"]
    assert float(lines[3][1]) == report["values"]["HP@3 (LCS height)"]


def test_options_that_change_the_figures(words):
    plain = values(*words, "--query", "test")
    assert "mAHP@19 (LCS height)" in plain
    assert "mAHP (LCS height)" in values(*words, "--query", "test", "--whole")
    assert values(*words, "--query", "test", "--keep-query")["HP@1 (WUP)"] == 1
    across = values(*words, "--query", "test", "--gallery", "train")
    assert across["mAP"] != plain["mAP"]
    assert values(*words, "--query", "test", "--block", 3) == pytest.approx(plain)


def test_turned_round_and_with_names_as_ids(words, folder):
    plain = values(*words)
    names = dict(line.split(" ") for line in NAMES.splitlines())
    pairs = [line.split(" ") for line in PAIRS.splitlines()]
    (folder / "is-a.txt").write_text("\n".join(f"{child} {parent}" for parent, child in pairs))
    turned = ["--taxonomy", folder / "is-a.txt", "--is-a", "--names", folder / "names.txt"]
    assert values("hierarchy", folder / "vectors", *turned) == pytest.approx(plain)
    (folder / "named.txt").write_text("\n".join(f"{names[a]} {names[b]}" for a, b in pairs))
    named = ["--taxonomy", folder / "named.txt", "--string-ids"]
    assert values("hierarchy", folder / "vectors", *named) == pytest.approx(plain)


def test_class_points_that_are_named_predict(words, folder):
    ClassPoints(np.eye(4), tuple(LABELS), None, "by hand").save(folder / "points.npz")
    found = values(*words, "--classes", folder / "points.npz")
    assert found["class point accuracy"] > 0.8
    assert found["class point hierarchical"] >= found["class point accuracy"]


def test_the_encoders_class_points_predict(words, folder):
    from perisphere.encoder import Encoder, Preprocessing
    from perisphere.nets import NetSpec, build
    from perisphere.taxonomy import Taxonomy

    taxonomy = Taxonomy.load(folder / "tree.txt", names=folder / "names.txt")
    points = ClassPoints(np.eye(3)[[0, 0, 1, 2]], ("10", "11", "12", "13"), taxonomy, "by hand")
    net = build(NetSpec(backbone="pixels", input_size=1))
    encoder = Encoder(net, Preprocessing(size=(1, 1)), name="e", classes=points)
    encoder.save(folder / "encoder")
    vectors, labels = points.points[[0, 1, 2, 3]].astype(np.float32), LABELS
    rows = pl.DataFrame({"id": range(4), "path": LABELS, "split": ["test"] * 4, "label": labels})
    described = {"name": "e", "identity": encoder.identity, "dim": 3, "path": str(folder / "encoder")}
    Embeddings(vectors, rows, root=folder, encoder=described).save(folder / "own")
    found = values("hierarchy", folder / "own")  # the points know their taxonomy
    assert found["class point accuracy"] == 0.75  # lion and tiger share a point
    assert found["class point hierarchical"] == pytest.approx(1 - 0.5 / 4)
    described["identity"] = "1" * 16
    Embeddings(vectors, rows, root=folder, encoder=described).save(folder / "older")
    with pytest.raises(UsageError, match="name its file with --taxonomy"):
        raise run("hierarchy", folder / "older").exception


@pytest.mark.parametrize("scaling", ["unit", "largest"])
def test_a_linear_svm(words, folder, scaling):
    svm = ["--query", "test", "--svm-scaling", scaling, "--svm-c", 2]
    found = values(*words, *svm, "--svm", "train")
    assert found["SVM accuracy"] > 0.8
    save(folder / "copy")
    twice = ["--svm-from", folder / "vectors", "--svm-from", folder / "copy", "--svm", "train"]
    report = json.loads(run(*words, *svm, *twice, "--json").stdout)
    assert report["options"]["SVM"] == {
        "learnt": 40,
        "classes": 4,
        "scaling": scaling,
        "c": 2,
        "seed": 0,
    }


def test_the_classifier_of_a_run(words, folder, monkeypatch):
    from perisphere.training.trained_classifier import TrainedClassifier

    def predict(self, files, boxes, top):
        assert [file.name for file in files] == [f"{number}.jpg" for number in range(20, 40)]
        return np.tile([[0, 1, 2, 3]], (len(files), 1))

    def of_run(run):
        assert run == folder / "run"
        return TrainedClassifier(None, None, tuple(LABELS), 7)

    monkeypatch.setattr(TrainedClassifier, "of_run", of_run)
    monkeypatch.setattr(TrainedClassifier, "predict", predict)
    found = values(*words, "--query", "test", "--classifier", folder / "run")
    assert found["classifier accuracy"] == found["classifier balanced"] == 0.25
    assert found["classifier hierarchical"] == pytest.approx((1 + 0.5) / 4)


def test_reports_are_compared_with_plots_and_csv(words, folder):
    files = [folder / "a.json", folder / "b.json"]
    run(*words, "-o", files[0])
    run(*words, "--query", "test", "-o", files[1])
    result = run("compare", *files, "--csv", folder / "c.csv", "--similarity", "wup", "--plots", folder / "p")
    assert result.exit_code == 0, result.exception
    assert "mAHP@39 (WUP)" in result.stdout
    assert (folder / "c.csv").read_text().startswith("k;a;b\n1;")
    assert (folder / "p" / "hierarchical-precision.png").is_file()


def test_the_worst_queries_are_drawn(words, folder):
    from PIL import Image

    for number in range(40):
        Image.new("RGB", (8, 8), (6 * number, 0, 90)).save(folder / f"{number}.jpg")
    assert run(*words, "--worst", folder / "worst.png").exit_code == 0
    assert Image.open(folder / "worst.png").width > 100


@pytest.mark.parametrize(
    ("added", "kind", "said"),
    [
        (["--k", "1,40"], UsageError, "k is 40; a ranking here has 39 images"),
        (["--ties", "optimistic"], UsageError, "--ties means nothing for hierarchy"),
        (["--names", "{}/tree.txt"], PerisphereError, "tree.txt: line 2"),
        (["--classes", "{}/none.npz"], PerisphereError, "none.npz"),
        (["--classifier", "{}"], PerisphereError, "is no finished run"),
        (["--svm", "learn"], PerisphereError, "no row of split 'learn'"),
        (["--svm", "train", "--svm-c", "0"], UsageError, "c is 0"),
        (["--svm-from", "{}"], PerisphereError, "neither an embeddings folder"),
        (["--svm-c", "2"], UsageError, "--svm-c means nothing without --svm or --svm-from"),
        (["--svm-scaling", "unit"], UsageError, "--svm-scaling means nothing without --svm or --svm-from"),
        (["--similarity", "wup"], UsageError, "--similarity means nothing without --csv"),
    ],
)
def test_errors_name_the_place_and_the_mend(words, folder, added, kind, said):
    result = run(*words, *[word.replace("{}", str(folder)) for word in added])
    assert type(result.exception) is kind
    assert said in str(result.exception)


def test_what_is_only_for_a_hierarchy(folder):
    for option in (["--svm", "train"], ["--svm-from", folder], ["--keep-query"], ["--csv", "x.csv"]):
        result = run("retrieval", folder / "vectors", *option)
        assert f"{option[0]} means nothing for retrieval" in str(result.exception)
    result = run("hierarchy", folder / "vectors")
    assert "hierarchy needs a taxonomy; name its file with --taxonomy" in str(result.exception)
