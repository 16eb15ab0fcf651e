"""Folders in the hub's format become encoders that give the library's own vectors."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import hub_models
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from perisphere.encoder import Encoder
from perisphere.encoder.from_hub import encoder_from_hub
from perisphere.errors import PerisphereError, UsageError

pytest.importorskip("transformers")

KINDS = tuple(hub_models.PROCESSORS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of folders, one a kind of network."""
    root = tmp_path_factory.mktemp("hub")
    for kind in KINDS:
        hub_models.save(kind, root / kind)
    return root


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((61, 83), (83, 61), (40, 47))]


def pixels(kind: str, photo: np.ndarray) -> torch.Tensor:
    """Bring a photo to the network with Pillow and NumPy alone, as the library's processors describe it."""
    picture = Image.fromarray(photo)
    side = hub_models.SIDE
    processor = hub_models.PROCESSORS[kind]
    if processor["image_processor_type"] in ("ViTImageProcessor", "SiglipImageProcessor"):
        picture = picture.resize((side, side), processor["resample"])
    else:
        shortest = 40 if "crop_size" in processor else int(side / 0.875)
        width, height = picture.size
        short = min(width, height)
        picture = picture.resize((int(shortest * width / short), int(shortest * height / short)), 3)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    values = np.asarray(picture, np.float64) / 255
    values = (values - processor["image_mean"]) / processor["image_std"]
    return torch.from_numpy(values.transpose(2, 0, 1)).float()


def own_vectors(kind: str, batch: torch.Tensor, pool: str | None = None) -> np.ndarray:
    """Return what the library itself gives for a batch of pixels, at length one."""
    model = hub_models.build(kind)
    with torch.inference_mode():
        if kind in ("clip", "siglip"):
            if pool == "pooled" and kind == "clip":
                rows = model.vision_model(pixel_values=batch).pooler_output
            else:
                rows = model.get_image_features(pixel_values=batch).pooler_output
        else:
            body = model.vit if kind == "vit-classifier" else model
            found = body(pixel_values=batch)
            if pool == "mean":
                skipped = 4 if kind == "dinov2_with_registers" else 1
                rows = found.last_hidden_state[:, skipped:].mean(1)
            elif pool == "pooled" or not kind.startswith(("vit", "dino")):
                rows = found.pooler_output.flatten(1)
            else:
                rows = found.last_hidden_state[:, 0]
    return torch.nn.functional.normalize(rows.double(), dim=1).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_the_librarys_own(kind: str, folders: Path, photos: list[np.ndarray]) -> None:
    found = encoder_from_hub(folders / kind).encode(photos, precision="float32")
    expected = own_vectors(kind, torch.stack([pixels(kind, photo) for photo in photos]))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-3  # the photos are told apart


@pytest.mark.parametrize(
    ("kind", "pool"),
    [
        ("vit", "pooled"),
        ("vit", "mean"),
        ("dinov2", "mean"),
        ("dinov2_with_registers", "mean"),
        ("clip", "pooled"),
    ],
)
def test_other_vectors(kind: str, pool: Any, folders: Path, photos: list[np.ndarray]) -> None:
    encoder = encoder_from_hub(folders / kind, pool=pool)
    expected = own_vectors(kind, torch.stack([pixels(kind, photo) for photo in photos]), pool)
    np.testing.assert_allclose(encoder.encode(photos, precision="float32"), expected, atol=1e-5)
    assert encoder.text is None
    assert encoder.identity != encoder_from_hub(folders / kind).identity


@pytest.mark.parametrize("kind", KINDS)
def test_folder_stands_alone(kind: str, folders: Path, photos: list[np.ndarray], tmp_path: Path) -> None:
    source = shutil.copytree(folders / kind, tmp_path / "source")
    encoder = encoder_from_hub(source)
    expected = encoder.encode(photos)
    encoder.save(tmp_path / "encoder")
    shutil.rmtree(source)
    again = Encoder.load(tmp_path / "encoder")
    assert again.identity == encoder.identity
    assert again.dim == encoder.dim
    np.testing.assert_array_equal(again.encode(photos), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_keep_their_published_names(kind: str, folders: Path, tmp_path: Path) -> None:
    """A release of the library that names its modules otherwise must find them, and the same identity."""
    encoder_from_hub(folders / kind).save(tmp_path / "encoder")
    ours = load_file(tmp_path / "encoder" / "weights.safetensors")
    published = load_file(folders / kind / "model.safetensors")
    stripped = {name.removeprefix("vit.") for name in published}
    assert {name for name in ours if not name.endswith("num_batches_tracked")} <= stripped


def test_parts_of_weights_are_put_together(folders: Path, photos: list[np.ndarray], tmp_path: Path) -> None:
    hub_models.save("dinov2", tmp_path / "parts", shards=True)
    assert len(list((tmp_path / "parts").glob("model-*.safetensors"))) > 1
    assert encoder_from_hub(tmp_path / "parts").identity == encoder_from_hub(folders / "dinov2").identity


def test_a_folder_that_a_newer_library_saved(folders: Path, tmp_path: Path) -> None:
    """What was preprocessor_config.json is then a part of processor_config.json."""
    folder = shutil.copytree(folders / "clip", tmp_path / "clip")
    given = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    (folder / "preprocessor_config.json").unlink()
    newer = json.dumps({"image_processor": given, "processor_class": "CLIPProcessor"})
    (folder / "processor_config.json").write_text(newer, encoding="utf-8")
    assert encoder_from_hub(folder).identity == encoder_from_hub(folders / "clip").identity


def test_pickled_weights_go_through_the_reader_that_runs_no_code(folders: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(folders / "resnet", tmp_path / "resnet")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert encoder_from_hub(folder).identity == encoder_from_hub(folders / "resnet").identity


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov2"])
def test_pictures_of_another_size(kind: str, folders: Path, photos: list[np.ndarray]) -> None:
    """Positions are interpolated, as the library does where it is asked to."""
    encoder = encoder_from_hub(folders / kind)
    encoder.preprocessing = encoder.preprocessing.at_size(48, 48)
    model = hub_models.build(kind)
    pictures = np.stack([encoder.preprocessing(photo) for photo in photos])
    batch = encoder.preprocessing.normalise(torch.from_numpy(pictures))
    with torch.inference_mode():
        if kind == "dinov2":
            rows = model(pixel_values=batch).pooler_output
        else:
            rows = model.get_image_features(pixel_values=batch, interpolate_pos_encoding=True).pooler_output
    expected = torch.nn.functional.normalize(rows, dim=1).numpy()
    np.testing.assert_allclose(encoder.encode(photos, precision="float32"), expected, atol=1e-5)


def test_nothing_is_asked_of_the_net(folders: Path, photos: list, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    encoder = encoder_from_hub(folders / "clip")
    encoder.encode(photos)
    encoder.encode_texts(["a photo"])


def test_numbers_of_half_precision_become_float32(folders: Path, tmp_path: Path) -> None:
    model = hub_models.build("convnext").half()
    folder = shutil.copytree(folders / "convnext", tmp_path / "half")
    model.save_pretrained(folder)
    net = encoder_from_hub(folder).net
    assert {tensor.dtype for tensor in net.state_dict().values()} == {torch.float32}


def test_a_vector_that_the_family_has_not(folders: Path) -> None:
    with pytest.raises(UsageError, match=r"--pool cls: resnet has pooled\."):
        encoder_from_hub(folders / "resnet", pool="cls")


def test_a_classifier_has_no_pooler(folders: Path) -> None:
    with pytest.raises(PerisphereError, match=r"2 weights of ViTModel are missing, e\.g\. pooler"):
        encoder_from_hub(folders / "vit-classifier", pool="pooled")


def changed(source: Path, target: Path, name: str, **fields: Any) -> Path:
    """Copy a folder, with other fields in one of its JSON files."""
    folder = shutil.copytree(source, target)
    described = json.loads((folder / name).read_text(encoding="utf-8"))
    (folder / name).write_text(json.dumps(described | fields), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map asks for code"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config asks for code"),
        ({"model_type": "evil"}, "networks of the type 'evil' are not read"),
        ({"model_type": "convnext"}, "do not fit ConvNextModel|missing"),
        ({"model_type": "siglip2"}, "photos of any shape; SigLIP 2 of one image size"),
        ({"model_type": ["vit"]}, "networks of the type"),
        ({"hidden_size": 10**9}, "hidden_size is 1000000000; a whole number from 0 to 65536"),
        ({"hidden_size": 32_768, "num_attention_heads": 2}, "numbers are needed, and the weights hold"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000"),
        ({"num_hidden_layers": 64, "hidden_size": 16_384}, "numbers are needed, and the weights hold"),
        ({"num_hidden_layers": 1}, "weights have no place in Dinov2Model"),
        ({"num_hidden_layers": 3}, "weights of Dinov2Model are missing"),
        ({"hidden_size": 33}, "cannot be divided among num_attention_heads"),
        ({"num_attention_heads": 0}, "cannot be divided among num_attention_heads"),
        ({"hidden_act": "os.system"}, "hidden_act is 'os.system'; known are"),
        ({"hidden_act": ["gelu"]}, "hidden_act is"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan"),
        ({"patch_size": 0}, "do not fit Dinov2Model"),
        ({"patch_size": [8, 4]}, "do not fit Dinov2Model|patch_size"),
        ({"num_channels": 4}, "num_channels is 4"),
        ({"image_size": "224"}, "image_size is 224; a whole number"),
        ({"mlp_ratio": 60_000}, "mlp_ratio is 60000"),
    ],
)
def test_hostile_settings(fields: dict[str, Any], said: str, folders: Path, tmp_path: Path) -> None:
    folder = changed(folders / "dinov2", tmp_path / "folder", "config.json", **fields)
    with pytest.raises(PerisphereError, match=said) as caught:
        encoder_from_hub(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_settings_of_loaders_are_passed_over(folders: Path, tmp_path: Path) -> None:
    """What would fetch kernels, adapters or other weights is not even read."""
    folder = changed(
        folders / "dinov2",
        tmp_path / "folder",
        "config.json",
        _attn_implementation="kernels-community/evil",
        attn_implementation="kernels-community/evil",
        transformers_weights="../evil.safetensors",
        dtype="float16",
        architectures=["EvilModel"],
    )
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "evil/evil"}', encoding="utf-8")
    assert encoder_from_hub(folder).identity == encoder_from_hub(folders / "dinov2").identity


def test_pickle_that_runs_code_is_refused(folders: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    folder = shutil.copytree(folders / "dinov2", tmp_path / "folder")
    (folder / "model.safetensors").unlink()
    torch.save({"embeddings.cls_token": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(PerisphereError, match=r"pytorch_model\.bin"):
        encoder_from_hub(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_truncated_weights(share: float, folders: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(folders / "dinov2", tmp_path / "folder")
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PerisphereError, match=r"model\.safetensors: is damaged .*Get it again"):
        encoder_from_hub(folder)


@pytest.mark.parametrize(
    "place", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", ".safetensors", 7]
)
def test_an_index_names_no_file_elsewhere(place: Any, folders: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(folders / "dinov2", tmp_path / "folder")
    shutil.move(folder / "model.safetensors", tmp_path / "model.safetensors")
    index = {"weight_map": {"embeddings.cls_token": place}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(PerisphereError, match="weight_map names no plain files of this folder"):
        encoder_from_hub(folder)


def test_weights_that_are_not_finite(folders: Path, tmp_path: Path) -> None:
    model = hub_models.build("resnet")
    next(iter(model.parameters())).data[0] = float("nan")
    folder = shutil.copytree(folders / "resnet", tmp_path / "folder")
    model.save_pretrained(folder)
    with pytest.raises(PerisphereError, match="has NaN or infinite values"):
        encoder_from_hub(folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("config.json", r"no config\.json in it"),
        ("model.safetensors", "holds no weights"),
        ("preprocessor_config.json", r"no preprocessor_config\.json in it"),
        ("tokenizer.json", r"no tokenizer\.json in it.*--no-text"),
        ("tokenizer_config.json", r"no tokenizer_config\.json in it.*--no-text"),
    ],
)
def test_a_file_that_is_not_there(name: str, said: str, folders: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(folders / "clip", tmp_path / "folder")
    (folder / name).unlink()
    with pytest.raises(PerisphereError, match=said):
        encoder_from_hub(folder)
    if name.startswith("tokenizer"):
        assert encoder_from_hub(folder, text=False).text is None


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "tokenizer_config.json"])
def test_files_that_are_no_json(name: str, data: bytes, folders: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(folders / "clip", tmp_path / "folder")
    (folder / name).write_bytes(data)
    with pytest.raises(PerisphereError, match=name) as caught:
        encoder_from_hub(folder)
    assert "\n" not in str(caught.value)


def test_settings_larger_than_any_are(folders: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(folders / "dinov2", tmp_path / "folder")
    (folder / "config.json").write_text('{"a": "' + "x" * (5 << 20) + '"}', encoding="utf-8")
    with pytest.raises(PerisphereError, match="larger than 4 MiB"):
        encoder_from_hub(folder)


def test_an_encoder_whose_description_was_changed(folders: Path, tmp_path: Path) -> None:
    encoder_from_hub(folders / "dinov2").save(tmp_path / "encoder")
    file = tmp_path / "encoder" / "encoder.json"
    described = json.loads(file.read_text(encoding="utf-8"))
    for config in (
        described["net"]["config"] | {"hidden_size": 1 << 40},
        described["net"]["config"] | {"hidden_size": 32_768},
        described["net"]["config"] | {"evil": 1},
    ):
        net = described["net"] | {"config": config}
        file.write_text(json.dumps(described | {"net": net}), encoding="utf-8")
        with pytest.raises(PerisphereError, match="damaged") as caught:
            Encoder.load(tmp_path / "encoder")
        assert "\n" not in str(caught.value)
