import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError
from perisphere.taxonomy import ClassPoints

TREE = "thing animal\nthing tool\nanimal cat\nanimal dog\ntool saw\nthing tool\n"


def run(*words):
    result = CliRunner().invoke(app, ["taxonomy", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def tree(tmp_path):
    path = tmp_path / "tree.txt"
    path.write_text(TREE)
    return path


def test_check_counts_and_says_what_was_repeated(tree):
    found = json.loads(run("check", tree, "--json"))
    assert (found["nodes"], found["relations"], found["leaves"], found["repeated"]) == (6, 5, 3, 1)
    assert (found["height"], found["depth"], found["is_tree"], found["root_names"]) == (2, 3, True, ["thing"])
    result = CliRunner().invoke(app, ["taxonomy", "check", str(tree)])
    assert "1 repeated line dropped" in result.output
    assert "a tree: 6 nodes, 5 relations, 3 leaves" in result.output


def test_check_counts_one_as_one(tmp_path):
    path = tmp_path / "dag.txt"
    path.write_text("r a\nr b\na x\nb x\n")
    assert run("check", path).splitlines() == [
        "a DAG (1 node of several parents): 4 nodes, 4 relations, 1 leaf",
        "height 2, depth 3 (3 by shortest paths), 1 root: r",
    ]


def test_check_gives_both_depths_of_a_dag(tmp_path):
    path = tmp_path / "dag.txt"
    path.write_text("r a\na b\nb x\nr x\n")
    found = json.loads(run("check", path, "--json"))
    assert (found["depth"], found["shortest_depth"]) == (4, 2)


def test_check_refuses_an_unknown_class(tree, tmp_path):
    (tmp_path / "classes.txt").write_text("cat\neel\n")
    with pytest.raises(PerisphereError, match="line 2: class 'eel'"):
        run("check", tree, "--class-list", tmp_path / "classes.txt")


def test_show_prints_a_branch_and_cuts_where_told(tree):
    assert run("show", tree).splitlines() == ["thing", "  animal", "    cat", "    dog", "  tool", "    saw"]
    assert run("show", tree, "--node", "animal", "--levels", "0").strip() == "animal  (+2)"
    (branch,) = json.loads(run("show", tree, "--levels", "1", "--json"))["nodes_shown"]
    assert [child["leaves"] for child in branch["children"]] == [2, 1]


@pytest.mark.parametrize("shape", ["tree", "circle"])
def test_show_draws(tree, tmp_path, shape):
    picture = tmp_path / "tree.png"
    run("show", tree, "-o", picture, "--shape", shape)
    with Image.open(picture) as image:
        image.load()
        assert min(image.size) > 80
        assert len(image.convert("RGB").getcolors(1 << 20)) > 50
    drawing = tmp_path / "tree.svg"
    run("show", tree, "-o", drawing, "--shape", shape, "--levels", "1")
    assert "animal (+2)" in drawing.read_text()
    with pytest.raises(PerisphereError, match="exists already"):
        run("show", tree, "-o", picture)
    with pytest.raises(UsageError, match="drawn as"):
        run("show", tree, "-o", tmp_path / "tree.jpg")


def test_a_dag_is_drawn_and_too_many_rows_are_refused(tmp_path):
    path = tmp_path / "dag.txt"
    path.write_text("r a\nr b\na x\nb x\nb y\n")
    run("show", path, "-o", tmp_path / "dag.svg")
    path.write_text("".join(f"0 {number}\n" for number in range(1, 3002)))
    with pytest.raises(UsageError, match="3,001 rows are too many"):
        run("show", path, "-o", tmp_path / "wide.svg")
    assert not (tmp_path / "wide.svg").exists()


def test_similarity_of_named_classes_and_of_all(tree, tmp_path):
    (pair,) = json.loads(run("similarity", tree, "cat", "dog", "--json"))
    assert (pair["lcs"], pair["path"], pair["lcs_height"]) == ("animal", 2, 0.5)
    assert pair["wup"] == pytest.approx(2 / 3)
    assert "meet at animal" in run("similarity", tree, "cat", "dog")
    run("similarity", tree, "-o", tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text().splitlines()[:2] == [",cat,dog,saw", "cat,1.0,0.5,0.0"]
    run("similarity", tree, "--kind", "wup", "-o", tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz", allow_pickle=False) as arrays:
        assert arrays["similarities"][0].tolist() == [1, pytest.approx(2 / 3), pytest.approx(1 / 3)]
        assert arrays["classes"].tolist() == ["cat", "dog", "saw"]
    with pytest.raises(UsageError, match="name two classes"):
        run("similarity", tree)


def test_embed_writes_points_and_says_how_far_they_are_off(tree, tmp_path):
    out = tmp_path / "points.npz"
    found = json.loads(run("embed", tree, "-o", out, "--json"))
    assert (found["classes"], found["dimensions"]) == (3, 3)
    assert found["deviation"]["max"] < 1e-14
    points = ClassPoints.load(out)
    assert points.points @ points.points.T == pytest.approx(np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]))
    with pytest.raises(PerisphereError, match="exists already"):
        run("embed", tree, "-o", out)
    words = ("embed", tree, "-o", out, "--method", "approx_sim", "--num-dim", "2", "--norm", "--overwrite")
    assert "3 classes in 2 dimensions by approx_sim" in run(*words)
    np.testing.assert_allclose(np.linalg.norm(ClassPoints.load(out).points, axis=1), 1)


@pytest.mark.parametrize("method", ["unitsphere", "spheres", "mds"])
def test_embed_compares_the_classes_once(tree, tmp_path, monkeypatch, method):
    from perisphere.taxonomy import embedding

    compared, similarities = [], embedding.similarities
    monkeypatch.setattr(embedding, "similarities", lambda *words: compared.append(1) or similarities(*words))
    found = json.loads(run("embed", tree, "-o", tmp_path / "p.json", "--method", method, "--json"))
    assert (len(compared), found["deviation"]["max"] < 1e-7) == (1, True)


def test_convert_and_reduce(tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("thing\n-- animal\n---- cat\n-- tool\n---- saw\n")
    run("convert", source, "--from", "indented", "-o", tmp_path / "a.txt", "--names-out", tmp_path / "n.txt")
    assert (tmp_path / "a.txt").read_text() == "2 3\n2 4\n3 0\n4 1\n"
    assert (tmp_path / "n.txt").read_text() == "0 cat\n1 saw\n2 thing\n3 animal\n4 tool\n"
    source.write_text("x a\nx b\na r\nb r\ny b\n")
    found = json.loads(run("reduce", source, "--is-a", "-o", tmp_path / "b.txt", "--json"))
    assert found["is_tree"]
    assert (tmp_path / "b.txt").read_text() in ("a x\nb y\nr a\nr b\n", "b x\nb y\nr b\n")


@pytest.mark.parametrize(
    ("option", "kind"),
    [("--is-a", "indented"), ("--remarks", "wordnet"), ("--string-ids", "inaturalist")],
)
def test_convert_refuses_options_without_a_meaning(tree, tmp_path, option, kind):
    with pytest.raises(UsageError, match=f"{option}: has no meaning for --from {kind}"):
        run("convert", tree, "--from", kind, option, "-o", tmp_path / "out.txt")
