"""Encoders run by OpenVINO and ONNX Runtime: torch's vectors, from models that are what was written."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn import picture

from perisphere.codes import VladNet, VladSpec
from perisphere.encoder import Encoder, Preprocessing, Scales
from perisphere.encoder.runtimes import choice, openvino_model
from perisphere.encoder.runtimes import export as export_module
from perisphere.encoder.runtimes.export import export
from perisphere.encoder.runtimes.names import ENGINES
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, build

FILES = [("openvino", "model.xml"), ("openvino", "model.bin"), ("onnx", "model.onnx")]


@pytest.mark.parametrize("runtime", ENGINES)
@pytest.mark.parametrize("count", [1, 2, 9])
def test_vectors_are_torchs(ready: Path, pictures: list[np.ndarray], runtime: Any, count: int) -> None:
    encoder = Encoder.load(ready)
    expected = encoder.encode(pictures[:count], precision="float32")
    found = encoder.encode(pictures[:count], runtime=runtime, precision="float32")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.1 or count == 1  # the pictures are told apart


@pytest.mark.parametrize("runtime", ENGINES)
def test_a_runtime_is_no_other_encoder(ready: Path, runtime: Any) -> None:
    encoder = Encoder.load(ready)
    bound = encoder.on(runtime)
    assert (bound.identity, bound.dim, bound.runtime) == (encoder.identity, encoder.dim, runtime)
    assert encoder.runtime == "torch"
    inference = bound.inference(precision="float32")
    assert (inference.runtime, inference.dtype, inference.device.type) == (runtime, torch.float32, "cpu")


def test_an_empty_sequence_needs_no_photo(ready: Path) -> None:
    assert Encoder.load(ready).encode([], runtime="onnx").shape == (0, 16)


def test_a_model_is_exported_once(ready: Path, pictures: list, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("exported again")

    monkeypatch.setattr(export_module, "exported_program", refuse)
    for runtime in ENGINES:
        Encoder.load(ready).on(runtime).encode(pictures[:1])


def small() -> Encoder:
    preprocessing = Preprocessing(size=(16, 16), resize="squash", mean=(0.5,) * 3, std=(0.2,) * 3)
    return Encoder(build(NetSpec(backbone="pixels", input_size=16), seed=0), preprocessing, name="px")


def test_an_export_goes_into_the_folder(tmp_path: Path, own_cache: Path, pictures: list) -> None:
    encoder = small()
    encoder.save(tmp_path / "px")
    encoder.encode(pictures[:1], runtime="openvino")
    told = json.loads((tmp_path / "px/runtimes/openvino/runtime.json").read_text())
    assert told["encoder"] == encoder.identity
    assert told["sides"] == [16, 16]
    assert told["agreement"]["images"] == 6
    assert told["agreement"]["difference"] < 1e-3
    assert not own_cache.exists()


@pytest.mark.parametrize("saved", [True, False])
def test_a_read_only_folder_or_none_leaves_the_users_cache(
    saved: bool, tmp_path: Path, own_cache: Path, pictures: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = small()
    if saved:
        encoder.save(tmp_path / "px")
        monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(tmp_path / "px"))
    expected = encoder.encode(pictures[:3])
    np.testing.assert_allclose(encoder.encode(pictures[:3], runtime="openvino"), expected, atol=1e-5)
    assert [folder.name for folder in own_cache.iterdir()] == [f"{encoder.identity}-openvino"]
    assert not (tmp_path / "px/runtimes").exists()
    again = small()
    monkeypatch.setattr(export_module, "exported_program", None)  # found where it was put
    np.testing.assert_allclose(again.encode(pictures[:3], runtime="openvino"), expected, atol=1e-5)


@pytest.mark.parametrize("off", [0.01, float("nan")])
def test_other_vectors_keep_nothing(off: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = small()
    encoder.save(tmp_path / "px")
    run = openvino_model.Model.__call__

    def strange(self: Any, images: torch.Tensor) -> torch.Tensor:
        rows = run(self, images)
        rows[:, 0] += off * rows.norm(dim=1)
        return rows

    monkeypatch.setattr(openvino_model.Model, "__call__", strange)
    with pytest.raises(PerisphereError, match=r"other vectors than torch|NaN"):
        export(encoder, "openvino")
    assert sorted(path.name for path in (tmp_path / "px").rglob("*") if path.is_file()) == [
        "encoder.json",
        "weights.safetensors",
    ]


@pytest.mark.parametrize(("runtime", "name"), FILES)
def test_an_edited_file_is_refused(folder: Path, runtime: Any, name: str, pictures: list) -> None:
    path = folder / "runtimes" / runtime / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(PerisphereError, match=rf"{name}: damaged .*remove .*{runtime} and export again"):
        Encoder.load(folder).encode(pictures[:1], runtime=runtime)
    path.unlink()
    with pytest.raises(PerisphereError, match=rf"{name}: cannot be read"):
        Encoder.load(folder).encode(pictures[:1], runtime=runtime)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"encoder": "0" * 16}, "is of another encoder"),
        ({"runtime": "onnx"}, "is for onnx"),
        ({"format": 2}, "format"),
        ({"files": {"model.xml": "0" * 64}}, "names other files"),
        ({"files": {"../../encoder.json": "0" * 64, "model.bin": "0" * 64}}, "names other files"),
        ({"files": {"model.xml": "0", "model.bin": "0"}}, "files"),
        ({"int8": {"calibration": 1, "photos": "x", "seed": 0}}, "is int8"),
        ({"command": "rm"}, "command"),
    ],
)
def test_a_manifest_of_something_else(
    change: dict[str, Any], said: str, folder: Path, pictures: list[np.ndarray]
) -> None:
    path = folder / "runtimes/openvino/runtime.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(PerisphereError, match=rf"runtime\.json: .*{said}") as caught:
        Encoder.load(folder).encode(pictures[:1], runtime="openvino")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', "9" * 5000])
def test_a_manifest_that_is_none(text: str, folder: Path, pictures: list[np.ndarray]) -> None:
    (folder / "runtimes/onnx/runtime.json").write_text(text)
    with pytest.raises(PerisphereError, match=r"runtime\.json: damaged"):
        Encoder.load(folder).encode(pictures[:1], runtime="onnx")


def with_new_hash(folder: Path, name: str, content: bytes) -> None:
    """What whoever made the whole folder could do."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "runtime.json").read_text())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    (folder / "runtime.json").write_text(json.dumps(manifest))


def external(model: Any, onnx: Any) -> None:
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "../../../../../etc/passwd")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL


def hidden(model: Any, onnx: Any) -> None:
    """External data of a constant in a branch."""
    tensor = onnx.helper.make_tensor("c", onnx.TensorProto.FLOAT, [1], bytes(4), raw=True)
    onnx.external_data_helper.set_external_data(tensor, "/etc/passwd")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    constant = onnx.helper.make_node("Constant", [], ["c"], value=tensor)
    out = onnx.helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, [1])
    branch = onnx.helper.make_graph([constant], "branch", [], [out])
    model.graph.node.append(onnx.helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))


def foreign(model: Any, onnx: Any) -> None:
    model.opset_import.append(onnx.helper.make_opsetid("com.evil", 1))


@pytest.mark.parametrize(
    ("change", "said"), [(external, "other files"), (hidden, "other files"), (foreign, "com.evil")]
)
def test_a_model_of_an_enemy_onnx(change: Any, said: str, folder: Path, pictures: list[np.ndarray]) -> None:
    import onnx

    path = folder / "runtimes/onnx/model.onnx"
    model = onnx.load_model_from_string(path.read_bytes())
    change(model, onnx)
    with_new_hash(path.parent, path.name, model.SerializeToString())
    with pytest.raises(PerisphereError, match=said):
        Encoder.load(folder).encode(pictures[:1], runtime="onnx")


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"<net/>"])
def test_a_file_that_is_no_model(content: bytes, folder: Path, pictures: list[np.ndarray]) -> None:
    with_new_hash(folder / "runtimes/onnx", "model.onnx", content)
    with pytest.raises(PerisphereError, match="Export it again"):
        Encoder.load(folder).encode(pictures[:1], runtime="onnx")
    with_new_hash(folder / "runtimes/openvino", "model.xml", content)
    with pytest.raises(PerisphereError, match="xport it again"):
        Encoder.load(folder).encode(pictures[:1], runtime="openvino")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<net ", '<!DOCTYPE net [<!ENTITY a "b">]><net ', "entities"),
        ('version="opset1"', 'version="extension"', "not OpenVINO's own"),
        ('version="opset1"', "", "not OpenVINO's own"),
        ("<net ", "<other><net ", "no model"),
    ],
)
def test_a_model_of_an_enemy_openvino(
    old: str, new: str, said: str, folder: Path, pictures: list[np.ndarray]
) -> None:
    path = folder / "runtimes/openvino/model.xml"
    text = path.read_text()
    assert old in text
    with_new_hash(path.parent, path.name, text.replace(old, new, 1).encode())
    with pytest.raises(PerisphereError, match=said):
        Encoder.load(folder).encode(pictures[:1], runtime="openvino")


def test_weights_that_are_cut_off_are_an_error(folder: Path, pictures: list[np.ndarray]) -> None:
    path = folder / "runtimes/openvino/model.bin"
    with_new_hash(path.parent, path.name, path.read_bytes()[:100])
    with pytest.raises(PerisphereError, match="OpenVINO cannot read"):
        Encoder.load(folder).encode(pictures[:1], runtime="openvino")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"runtime": "tensorrt"}, "no such runtime"),
        ({"runtime": "opnvino"}, "Did you mean 'openvino'"),
        ({"runtime": "onnx", "device": "cuda"}, "runs on the processor"),
        ({"runtime": "onnx", "precision": "bfloat16"}, "cannot. Use auto"),
        ({"runtime": "openvino", "precision": "half"}, "half"),
    ],
)
def test_words_that_are_wrong(options: dict[str, Any], said: str, ready: Path, pictures: list) -> None:
    with pytest.raises(UsageError, match=said):
        Encoder.load(ready).encode(pictures[:1], **options)


def test_bfloat16_is_for_processors_that_have_it(
    ready: Path, pictures: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perisphere.encoder import inference

    asked = []
    own = openvino_model.Model

    def noted(files: dict[str, bytes], *, bfloat16: bool, threads: int) -> Any:
        asked.append(bfloat16)
        return own(files, bfloat16=False, threads=threads)

    monkeypatch.setattr(openvino_model, "Model", noted)
    monkeypatch.setattr(inference, "has_bfloat16", lambda device: True)
    encoder = Encoder.load(ready)
    assert encoder.inference(runtime="openvino").dtype == torch.bfloat16
    assert encoder.inference(runtime="openvino", precision="float32").dtype == torch.float32
    monkeypatch.setattr(inference, "has_bfloat16", lambda device: False)
    with pytest.raises(UsageError, match="no hardware"):
        encoder.on("openvino").inference(precision="bfloat16", device="cpu", unit=False, int8=False).dtype  # noqa: B018
    assert asked == [True, False]


@pytest.mark.parametrize(
    ("runtime", "package", "extra"),
    [("openvino", "openvino", "openvino"), ("onnx", "onnxruntime", "onnx"), ("onnx", "onnx", "onnx")],
)
def test_an_extra_that_is_missing(
    runtime: Any, package: str, extra: str, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PerisphereError, match=rf"needs {package}.*pip install 'perisphere\[{extra}\]'"):
        Encoder.load(ready).inference(runtime=runtime)


def test_vlad_has_no_network() -> None:
    preprocessing = Preprocessing(size=(64, 64), resize="long")
    encoder = Encoder(VladNet(VladSpec(words=2)), preprocessing, name="sift")
    with pytest.raises(PerisphereError, match=r"no network to export\. Leave --runtime out"):
        encoder.inference(runtime="onnx")


def varied() -> Encoder:
    """Pictures of any size, at two scales, by GeM: the model must take any height and width."""
    preprocessing = Preprocessing(size=(96, 96), resize="long")
    net = build(NetSpec(backbone="small", pooling="gem"), seed=1)
    return Encoder(net, preprocessing, name="varied", scales=Scales(factors=(1.0, 0.7), power=3.0))


def check_varied(runtime: Any) -> None:
    encoder = varied()
    pictures = [picture(1, 90, 60), picture(2, 48, 96), picture(3, 90, 60), picture(4, 70, 71)]
    expected = encoder.encode(pictures)
    np.testing.assert_allclose(encoder.encode(pictures, runtime=runtime), expected, atol=1e-5)


def test_several_scales_and_any_size() -> None:
    check_varied("openvino")


@pytest.mark.slow
def test_several_scales_and_any_size_onnx() -> None:
    check_varied("onnx")


def test_ten_views() -> None:
    preprocessing = Preprocessing(size=(16, 16), shorter=24, resize="crop", mean=(0.5,) * 3, std=(0.2,) * 3)
    net = build(NetSpec(backbone="pixels", input_size=16), seed=0)
    encoder = Encoder(net, preprocessing, name="ten", scales=Scales(views="ten"))
    pictures = [picture(1, 90, 60), picture(2, 48, 96)]
    one = Encoder(net, preprocessing, name="one").encode(pictures)
    found = encoder.encode(pictures, runtime="openvino")
    np.testing.assert_allclose(found, encoder.encode(pictures), atol=1e-5)
    assert np.abs(found - one).max() > 1e-2
    batch = np.stack([picture(seed, 24, 24) for seed in range(3)])
    lengths = encoder.inference(runtime="openvino", unit=False)(batch)
    np.testing.assert_allclose(lengths, encoder.inference(unit=False)(batch), rtol=1e-4, atol=1e-4)
    assert np.linalg.norm(lengths, axis=1).max() > 2


def test_what_torch_cannot_export_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = small()

    def forward(images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) * float(images.sum())  # depends on values, not on shapes

    monkeypatch.setattr(encoder.net, "forward", forward)
    with pytest.raises(PerisphereError, match=r"'px' cannot be exported .*Leave --runtime out") as caught:
        encoder.inference(runtime="openvino")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("runtime", ENGINES)
def test_what_a_runtime_cannot_write_is_refused_by_name(
    runtime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = small()
    encoder.save(tmp_path / "px")

    def refuse(*_: object) -> None:
        raise RuntimeError("no such\noperation")

    monkeypatch.setattr(choice.module_of(runtime), "write", refuse)
    with pytest.raises(PerisphereError, match=rf"'px' .*for {runtime} \(RuntimeError: no such operation\)"):
        export(encoder, runtime)
    assert not list((tmp_path / "px").rglob("runtime*/*"))


def test_the_network_is_set_up_once(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    own = choice.ready
    monkeypatch.setattr(choice, "ready", lambda *a, **k: made.append(1) or own(*a, **k))
    encoder = Encoder.load(ready).on("openvino")
    for _ in range(3):
        encoder.inference()
        encoder.on("openvino").inference(unit=False)
    assert len(made) == 1


REPORTS = """
import sys
from pathlib import Path
import numpy as np
from perisphere.encoder import Encoder
encoder = Encoder.load(sys.argv[1])
for runtime in ("openvino", "onnx"):
    encoder.encode([np.full((40, 40, 3), 77, np.uint8)], runtime=runtime)
print(sys.modules["openvino_telemetry"])
print(sorted(str(path.relative_to(Path.home())) for path in Path.home().rglob("*") if path.is_file()))
"""


def test_nobody_is_told_of_the_use(ready: Path, tmp_path: Path) -> None:
    """OpenVINO and ONNX Runtime write a machine's id and send events with it, unless kept from it."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    done = subprocess.run(
        [sys.executable, "-c", REPORTS, str(ready)],
        env={**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["None", "[]"]
