import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import picture
from PIL import Image
from safetensors.torch import load_file, save_file

from perisphere.encoder import Encoder, Preprocessing, embed, inference
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, build


def _another(seed: int = 3, **options: object) -> Encoder:
    net = build(NetSpec(backbone="cifar_resnet20"), seed=seed)
    return Encoder(net, Preprocessing(size=(32, 32), **{"resize": "squash", **options}), name="other")


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [picture(seed) for seed in range(11)]


def test_rows_are_float32_of_length_one_in_order(encoder: Encoder, pictures: list[np.ndarray]) -> None:
    vectors = encoder.encode(pictures)
    assert vectors.shape == (11, encoder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(encoder.encode(pictures[::-1]), vectors[::-1], atol=1e-5)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


def test_the_vectors_are_those_of_the_net(encoder: Encoder, pictures: list[np.ndarray]) -> None:
    batch = torch.from_numpy(np.stack([encoder.preprocessing(image) for image in pictures]))
    with torch.inference_mode():
        expected = encoder.net.eval()(encoder.preprocessing.normalise(batch).contiguous()).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.encode(pictures), expected, atol=1e-5)


def test_no_image_gives_no_row(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_one_image(encoder: Encoder, pictures: list[np.ndarray]) -> None:
    np.testing.assert_allclose(encoder.encode(pictures[:1])[0], encoder.encode(pictures)[0], atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 11, 64])
@pytest.mark.parametrize("workers", [1, 3])
def test_batch_size_and_workers_change_nothing(
    encoder: Encoder, pictures: list[np.ndarray], batch_size: int, workers: int
) -> None:
    vectors = encoder.encode(pictures, batch_size=batch_size, workers=workers)
    np.testing.assert_allclose(vectors, encoder.encode(pictures), atol=1e-5)


def test_path_string_bytes_array_and_pillow_give_the_same_row(encoder: Encoder, tmp_path: Path) -> None:
    image = picture(5)
    path = tmp_path / "photo.png"
    Image.fromarray(image).save(path)
    vectors = encoder.encode([path, str(path), path.read_bytes(), image, Image.fromarray(image)])
    np.testing.assert_allclose(vectors, np.repeat(vectors[:1], 5, axis=0), atol=1e-6)


def test_a_large_jpeg_gives_nearly_the_same_row_from_file_and_memory(
    encoder: Encoder, tmp_path: Path
) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(picture(5, 400, 600)).save(path, quality=95)
    from_file, from_memory = encoder.encode([path, np.asarray(Image.open(path))])
    assert from_file @ from_memory > 0.999


def test_a_file_that_is_no_picture_is_named(encoder: Encoder, tmp_path: Path) -> None:
    path = tmp_path / "letter.jpg"
    path.write_text("Dear reader")
    with pytest.raises(PerisphereError, match=r"letter\.jpg: not a .* image"):
        encoder.encode([picture(0), path])


def test_wrong_arrays_are_refused(encoder: Encoder) -> None:
    with pytest.raises(PerisphereError, match="float32"):
        encoder.encode([np.zeros((8, 8, 3), np.float32)])
    with pytest.raises(PerisphereError, match="shape"):
        encoder.encode([np.zeros((8, 8, 2), np.uint8)])


def test_nan_weights_are_an_error() -> None:
    broken = _another()
    with torch.no_grad():
        next(broken.net.parameters()).fill_(float("nan"))
    with pytest.raises(PerisphereError, match="NaN"):
        broken.encode([picture(0)])


def test_a_zero_embedding_is_an_error_that_names_the_image() -> None:
    net = build(NetSpec(backbone="pixels", input_size=8))
    pixels = Encoder(
        net, Preprocessing(size=(8, 8), resize="squash", mean=(0, 0, 0), std=(1, 1, 1)), name="pixels"
    )
    with pytest.raises(PerisphereError, match="image 1: its embedding is zero"):
        pixels.encode([picture(0), np.zeros((8, 8, 3), np.uint8)])


def test_encoding_leaves_the_net_in_its_mode(encoder: Encoder) -> None:
    trained = _another()
    trained.net.train()
    before = {name: tensor.clone() for name, tensor in trained.net.state_dict().items()}
    trained.encode([picture(0), picture(1)])
    assert trained.net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained.net.state_dict().items())
    assert all(parameter.requires_grad for parameter in trained.net.parameters())


def test_identity_follows_weights_and_preprocessing_and_nothing_else(encoder: Encoder) -> None:
    same = _another()
    assert len(same.identity) == 16
    assert same.identity == encoder.identity == _another().identity  # names and metrics differ
    assert same.identity != _another(seed=4).identity
    assert same.identity != _another(resize="pad").identity
    same.net.train()(torch.rand(2, 3, 32, 32))
    assert same.identity != encoder.identity, "the running means of batch normalisation are weights too"


def test_load_gives_back_what_was_saved(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "encoder")
    loaded = Encoder.load(tmp_path / "encoder")
    assert (loaded.name, loaded.provenance, loaded.metrics) == ("tiny", {"seed": 3}, {"mAP": 0.5})
    assert loaded.identity == encoder.identity
    assert loaded.preprocessing == encoder.preprocessing
    assert loaded.path == tmp_path / "encoder"
    assert not loaded.net.training
    described = json.loads((tmp_path / "encoder" / "encoder.json").read_text())
    assert described["dim"] == encoder.dim
    assert described["software"]["torch"] == torch.__version__


def test_another_process_computes_the_same_numbers(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "encoder")
    Image.fromarray(picture(1)).save(tmp_path / "photo.png")
    script = (
        "import sys, numpy as np; from perisphere.encoder import Encoder;"
        "e = Encoder.load(sys.argv[1]); np.save(sys.argv[3], e.encode([sys.argv[2]])); print(e.identity)"
    )
    words = [tmp_path / "encoder", tmp_path / "photo.png", tmp_path / "out.npy"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == encoder.identity
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), encoder.encode([tmp_path / "photo.png"]), atol=1e-6
    )


def test_an_existing_folder_is_kept_unless_overwritten(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "encoder")
    with pytest.raises(PerisphereError, match="exists already"):
        _another(seed=4).save(tmp_path / "encoder")
    assert Encoder.load(tmp_path / "encoder").identity == encoder.identity
    _another(seed=4).save(tmp_path / "encoder", overwrite=True)
    assert Encoder.load(tmp_path / "encoder").identity == _another(seed=4).identity


def _missing_description(folder: Path) -> None:
    (folder / "encoder.json").unlink()


def _missing_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def _cut_weights(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _flipped_weight(folder: Path) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x55
    path.write_bytes(content)


def _cut_description(folder: Path) -> None:
    path = folder / "encoder.json"
    path.write_text(path.read_text()[:-50])


def _edited(**changes: object):
    def edit(folder: Path) -> None:
        path = folder / "encoder.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_missing_description, r"encoder\.json: not found; name a folder"),
        (_missing_weights, r"weights\.safetensors: not found; copy"),
        (_cut_weights, r"weights\.safetensors: damaged"),
        (_flipped_weight, r"weights\.safetensors: damaged"),
        (_cut_description, r"encoder\.json: damaged \(is not JSON"),
        (_edited(format=3), r"encoder\.json: format 3 is newer .* upgrade"),
        (_edited(format=None), r"encoder\.json: damaged"),
        (_edited(net={"backbone": "resnet19"}), r"encoder\.json: damaged .*resnet19"),
        (_edited(net={"backbone": "cifar_resnet56"}), r"weights\.safetensors: damaged .*does not fit"),
        (_edited(preprocessing={"size": [32]}), r"encoder\.json: damaged .*size"),
    ],
)
def test_a_damaged_folder_is_an_error_that_names_the_file(
    encoder: Encoder, tmp_path: Path, damage, message: str
) -> None:
    encoder.save(tmp_path / "encoder")
    damage(tmp_path / "encoder")
    with pytest.raises(PerisphereError, match=message) as caught:
        Encoder.load(tmp_path / "encoder")
    assert "\n" not in str(caught.value)


def test_weights_of_another_encoder_are_noticed(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "one")
    tensors = load_file(tmp_path / "one" / "weights.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, tmp_path / "one/weights.safetensors")
    with pytest.raises(PerisphereError, match="is not the file"):
        Encoder.load(tmp_path / "one")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", ""])
def test_an_unusable_device_is_named(encoder: Encoder, device: str) -> None:
    with pytest.raises(UsageError, match="is not usable here"):
        encoder.encode([picture(0)], device=device)


def test_an_unknown_precision_is_named(encoder: Encoder) -> None:
    with pytest.raises(UsageError, match="'half' is unknown"):
        encoder.encode([picture(0)], precision="half")


def test_bfloat16_without_hardware_is_refused_and_auto_takes_float32(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "has_bfloat16", lambda device: False)
    with pytest.raises(UsageError, match="bfloat16"):
        encoder.inference(device="cpu", precision="bfloat16")
    assert encoder.inference(device="cpu").dtype == torch.float32


def test_bfloat16_is_taken_where_there_is_hardware_and_stays_close(
    encoder: Encoder, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = encoder.encode(pictures, device="cpu", precision="float32")
    monkeypatch.setattr(inference, "has_bfloat16", lambda device: True)  # torch imitates it
    assert encoder.inference(device="cpu").dtype == torch.bfloat16
    rounded = encoder.encode(pictures, device="cpu")
    assert rounded.dtype == np.float32
    assert (exact * rounded).sum(1).min() > 0.999
    assert np.abs(exact - rounded).max() > 1e-6


@pytest.mark.parametrize(
    ("options", "complaint"), [({"batch_size": 0}, "^batch_size is 0"), ({"workers": -1}, "^workers is -1")]
)
def test_impossible_batches_are_wrong_words(encoder, catalog, tmp_path, options, complaint):
    with pytest.raises(UsageError, match=complaint):
        encoder.encode([np.zeros((4, 4, 3), np.uint8)], **options)
    with pytest.raises(UsageError, match=complaint):
        embed(catalog, encoder, tmp_path / "new" / "out", **options)
    assert not (tmp_path / "new").exists()
