import numpy as np
import pytest
from PIL import Image

from perisphere.errors import PerisphereError
from perisphere.evaluation import classification, retrieval
from perisphere.evaluation.plots import draw


@pytest.fixture
def reports(points):
    labels = [str(i % 5) for i in range(60)]
    near = np.eye(6)[[int(label) for label in labels]] + np.random.default_rng(1).normal(0, 0.4, (60, 6))
    return {"trained": retrieval(points(labels, near)), "untrained": retrieval(points(labels))}


def test_every_curve_as_png_and_svg(reports, tmp_path):
    files = draw(reports, tmp_path / "plots")
    assert sorted(file.name for file in files) == sorted(
        f"{name}.{kind}" for name in ("precision-recall", "cmc", "found") for kind in ("png", "svg")
    )
    for file in files:
        if file.suffix == ".png":
            assert np.asarray(Image.open(file).convert("L")).std() > 5
        else:
            assert "untrained" in file.read_text() or "<path" in file.read_text()


def test_the_same_report_gives_the_same_file(reports, tmp_path):
    for first, second in zip(draw(reports, tmp_path / "a"), draw(reports, tmp_path / "b"), strict=True):
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("lost", ["recall", "k", "found"])
def test_a_report_with_a_part_of_the_curves_is_named(reports, tmp_path, lost):
    del reports["trained"].curves[lost]
    with pytest.raises(PerisphereError, match=f"^trained: the report lacks the curve '{lost}'; run"):
        draw(reports, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_report_without_curves(tmp_path, points):
    with pytest.raises(PerisphereError, match="no curves"):
        draw({"x": classification(points([*"aabb"]))}, tmp_path)
