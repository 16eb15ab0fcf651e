"""Encoders of 8 bits: an identity of their own, and a loss that was measured."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from perisphere.catalog import Catalog
from perisphere.encoder import Embeddings, Encoder, embed
from perisphere.encoder.ray_embedding import Cluster
from perisphere.encoder.runtimes import quantise as quantise_module
from perisphere.encoder.runtimes.identified import load_identified
from perisphere.encoder.runtimes.names import ENGINES, Engine
from perisphere.encoder.runtimes.quantise import Drawn, Inputs, quantise
from perisphere.encoder.scales import Scales
from perisphere.errors import PerisphereError, UsageError
from perisphere.index import Index


@pytest.mark.parametrize("runtime", ENGINES)
def test_vectors_are_near_but_of_another_space(
    ready: Path, pictures: list[np.ndarray], runtime: Engine
) -> None:
    encoder = Encoder.load(ready)
    quantised = encoder.on(runtime, int8=True)
    exact, found = encoder.encode(pictures), quantised.encode(pictures)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert 0.9 < (exact * found).sum(axis=1).mean() < 1 - 1e-7
    assert np.abs(exact - found).max() > 1e-4
    identities = {encoder.identity, *(encoder.on(engine, int8=True).identity for engine in ENGINES)}
    assert len(identities) == 3
    assert quantised.float_identity == encoder.identity
    assert str(quantised.inference().dtype) == "torch.int8"


@pytest.mark.parametrize("runtime", ENGINES)
def test_a_row_depends_on_its_picture_alone(ready: Path, pictures: list, runtime: Engine) -> None:
    quantised = Encoder.load(ready).on(runtime, int8=True)
    together = quantised.encode(pictures)
    np.testing.assert_allclose(quantised.encode(pictures, batch_size=2), together, atol=1e-6)
    np.testing.assert_allclose(quantised.encode(pictures[3:4])[0], together[3], atol=1e-6)


@pytest.mark.parametrize("runtime", ENGINES)
def test_a_saved_copy_is_the_same_encoder(
    ready: Path, tmp_path: Path, pictures: list[np.ndarray], runtime: Engine
) -> None:
    quantised = Encoder.load(ready).on(runtime, int8=True)
    quantised.save(tmp_path / "kept")
    again = Encoder.load(tmp_path / "kept")
    assert (again.identity, again.runtime) == (quantised.identity, runtime)
    np.testing.assert_array_equal(again.encode(pictures), quantised.encode(pictures))
    assert sorted(path.name for path in (tmp_path / "kept/runtimes").iterdir()) == [f"{runtime}-int8"]
    moved = shutil.move(tmp_path / "kept", tmp_path / "moved")
    assert Encoder.load(moved).identity == quantised.identity


def test_a_saved_copy_whose_model_is_another(ready: Path, tmp_path: Path) -> None:
    Encoder.load(ready).on("onnx", int8=True).save(tmp_path / "kept")
    file = tmp_path / "kept/encoder.json"
    described = json.loads(file.read_text())
    for int8, said in [
        ({**described["int8"], "digest": "0" * 64}, "int8 model is another"),
        ({"runtime": "torch", "digest": "0"}, "torch runs no such model"),
        ({"runtime": "openvino", "digest": "0"}, "no int8 model for openvino"),
        ({"digest": "0"}, "runtime"),
        ([], "damaged"),
    ]:
        file.write_text(json.dumps(described | {"int8": int8}))
        with pytest.raises(PerisphereError, match=said):
            Encoder.load(tmp_path / "kept")


def test_what_int8_cannot(ready: Path, tmp_path: Path, pictures: list[np.ndarray]) -> None:
    encoder = Encoder.load(ready)
    with pytest.raises(UsageError, match="torch runs no such model; add --runtime openvino"):
        encoder.on("torch", int8=True)
    quantised = encoder.on("onnx", int8=True)
    with pytest.raises(UsageError, match="is int8 by onnx"):
        quantised.encode(pictures, runtime="openvino")
    with pytest.raises(UsageError, match="int8 models cannot"):
        quantised.encode(pictures, precision="bfloat16")
    bare = tmp_path / "bare"
    encoder.save(bare)
    with pytest.raises(PerisphereError, match=r"no int8 model for onnx.*export .*bare --runtime onnx --int8"):
        Encoder.load(bare).on("onnx", int8=True)


def test_a_cluster_takes_up_what_this_machine_began(ready: Path) -> None:
    quantised = Encoder.load(ready).on("onnx", int8=True)
    cluster = Cluster("auto", quantised, 8, 0, None, "auto")
    assert cluster.precision == str(quantised.inference().dtype) == "torch.int8"


def test_an_index_does_not_mix(
    ready: Path, labelled: Catalog, tmp_path: Path, pictures: list[np.ndarray]
) -> None:
    encoder = Encoder.load(ready)
    quantised = encoder.on("openvino", int8=True)
    made = embed(labelled, quantised, tmp_path / "vectors")
    assert made.encoder["identity"] == quantised.identity
    assert (made.run["runtime"], made.run["precision"]) == ("openvino", "int8")
    with Index.create(tmp_path / "index", encoder=quantised) as index:
        index.add(made.vectors, made.rows, encoder_identity=made.encoder["identity"])
        kept = index.encoder()
        assert kept is not None
        np.testing.assert_array_equal(kept.encode(pictures), quantised.encode(pictures))
        with pytest.raises(PerisphereError, match="with another"):
            index.add(made.vectors, made.rows, encoder_identity=encoder.identity)
    assert load_identified(ready, quantised.identity).identity == quantised.identity
    assert load_identified(ready, encoder.identity).int8 is None
    assert load_identified(ready, "0" * 16).int8 is None


def test_float32_vectors_of_a_runtime_are_the_same_embeddings(
    ready: Path, labelled: Catalog, tmp_path: Path
) -> None:
    encoder = Encoder.load(ready)
    one = embed(labelled, encoder, tmp_path / "one", precision="float32")
    other = embed(labelled, encoder, tmp_path / "other", precision="float32", runtime="onnx")
    np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-5)
    assert one.encoder["identity"] == other.encoder["identity"]
    assert (one.run["runtime"], other.run["runtime"]) == ("torch", "onnx")
    assert len(Embeddings.load(tmp_path / "other").skipped) == 1


def by_hand(vectors: np.ndarray, labels: list[str]) -> float:
    """Leave-one-out mAP, spelt out."""
    figures = []
    for query, label in enumerate(labels):
        order = [row for row in np.argsort(-(vectors @ vectors[query]), kind="stable") if row != query]
        right = np.array([labels[row] == label for row in order])
        if right.any():
            figures.append((np.cumsum(right) / np.arange(1, len(order) + 1))[right].mean())
    return float(np.mean(figures))


@pytest.mark.parametrize("runtime", ENGINES)
def test_the_loss_is_measured_on_other_photos(ready: Path, labelled: Catalog, runtime: Engine) -> None:
    told = json.loads((ready / f"runtimes/{runtime}-int8/runtime.json").read_text())["int8"]
    order = np.random.default_rng(0).permutation(40)
    photos = [labelled.paths()[row] for row in order[12:] if row != 39]  # 39 is no photo
    labels = [f"place {row % 5}" for row in order[12:] if row != 39]
    assert (told["calibration"], told["measured"], told["photos"]) == (12, len(photos), "labelled")
    encoder = Encoder.load(ready)
    assert told["map_float32"] == pytest.approx(by_hand(encoder.encode(photos), labels), abs=1e-6)
    rows = encoder.on(runtime, int8=True).encode(photos)
    assert told["map_int8"] == pytest.approx(by_hand(rows, labels), abs=1e-6)


def fake(monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]) -> None:
    """Take the place of the quantiser: what is drawn and judged stays."""

    def kept(encoder: Encoder, runtime: str, write: Any, judge: Any, *, int8: bool) -> Any:
        asked["judged"] = judge(encoder.net)
        return asked["judged"]

    def unit_rows(encoder: Encoder, photos: Any, boxes: Any, compiled: Any = None) -> Any:
        asked.setdefault("photos", list(photos))
        rows = np.eye(len(photos), 16, dtype=np.float32)
        return (rows if compiled is None else rows * asked.get("factor", 1)), np.arange(len(photos))

    monkeypatch.setattr(quantise_module, "kept", kept)
    monkeypatch.setattr(quantise_module, "unit_rows", unit_rows)
    monkeypatch.setattr(quantise_module, "exported_program", lambda encoder: None)


@pytest.mark.parametrize(("images", "measured", "seed"), [(300, 2000, 0), (5, 3, 1), (1, 0, 2), (20, 20, 3)])
def test_no_photo_is_in_both(
    images: int,
    measured: int,
    seed: int,
    ready: Path,
    labelled: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {}
    fake(monkeypatch, asked)
    drawn: list[Drawn] = []
    monkeypatch.setattr(quantise_module, "Inputs", lambda encoder, photos: drawn.append(photos))
    quantise(Encoder.load(ready), "onnx", labelled, images=images, measured=measured, seed=seed)
    fitted = set(drawn[0].paths)
    assert len(fitted) == min(images, 20)
    if measured:
        assert len(asked["photos"]) == min(measured, 40 - len(fitted))
        assert not fitted & set(asked["photos"])
    else:
        assert asked["judged"][1].map_float32 is None


@pytest.mark.parametrize("labels", [[None] * 40, [f"own {number}" for number in range(40)]])
def test_without_pairs_of_one_label_there_is_no_loss(
    labels: list[str | None], ready: Path, labelled: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    fake(monkeypatch, asked)
    table = labelled.table.with_columns(pl.Series("label", labels, dtype=pl.String))
    quantise(Encoder.load(ready), "onnx", labelled.with_table(table), named="x")
    assert asked["judged"][1].measured == 0
    assert asked["judged"][1].map_int8 is None
    assert asked["judged"][0].images == 20


@pytest.mark.parametrize("factor", [0.5, 0.0, -1.0])
def test_a_model_of_no_use_is_not_kept(
    factor: float, ready: Path, labelled: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, {"factor": factor})
    with pytest.raises(PerisphereError, match=r"mean cosine -?[\d.]+ to float32\), so it was not kept"):
        quantise(Encoder.load(ready), "onnx", labelled)


def test_a_catalog_that_cannot_calibrate(ready: Path, labelled: Catalog, tmp_path: Path) -> None:
    encoder = Encoder.load(ready)
    with pytest.raises(PerisphereError, match="has no images"):
        quantise(encoder, "onnx", labelled.with_table(labelled.table.clear()))
    with pytest.raises(UsageError, match="images 0"):
        quantise(encoder, "onnx", labelled, images=0)
    broken = Catalog(labelled.table.filter(pl.col("id") == 39), labelled.root)
    encoder.save(tmp_path / "copy")
    with pytest.raises(PerisphereError, match="broken: none of the photos to calibrate with"):
        quantise(Encoder.load(tmp_path / "copy"), "onnx", broken, named="broken")
    assert not (tmp_path / "copy/runtimes").exists() or not any((tmp_path / "copy/runtimes").iterdir())


def test_calibration_sees_what_the_network_will(ready: Path, labelled: Catalog) -> None:
    encoder = Encoder.load(ready)
    paths = [labelled.paths()[row] for row in (0, 39, 3)]
    inputs = Inputs(encoder, Drawn(paths, [None, None, (0, 0, 20, 30)], ["a", "b", "c"]))
    for _ in range(2):  # it can be gone through again
        seen = list(inputs)
        assert [given.shape for given in seen] == [(1, 3, 32, 32)] * 2
    inference = encoder.inference(precision="float32")
    for given, row, box in zip(seen, (0, 3), (None, (0, 0, 20, 30)), strict=True):
        from perisphere.catalog.images import decode

        pixels = inference.preprocessing(decode(labelled.paths()[row]), box)
        np.testing.assert_array_equal(given, inference.ready(pixels[None]).numpy())
    encoder.scales = Scales(factors=(1.0, 0.5))
    assert [given.shape[2] for given in Inputs(encoder, Drawn(paths[:1], [None], ["a"]))] == [32, 16]
    assert len(inputs) == 6
