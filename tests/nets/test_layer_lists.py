"""Dictionaries of layers in one .npy: what is read, as torch lays it out, and what is refused."""

import os
import pickle

import numpy as np
import pytest
import torch

from perisphere.errors import PerisphereError
from perisphere.nets.layer_lists import CODEBOOKS
from perisphere.nets.pickled import read_checkpoint, read_training_checkpoint

DRAW = np.random.default_rng(0)


def drawn(*shape):
    return DRAW.normal(size=shape).astype(np.float32)


def written(path, layers, protocol=None):
    """Write as numpy.save does, with a protocol of old."""
    array = np.array(layers, dtype=object)
    if protocol is None:
        np.save(path, array, allow_pickle=True)
        return path
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(array, file, protocol=protocol)
    return path


@pytest.fixture
def layers():
    return {
        "conv1": [drawn(3, 3, 2, 8), drawn(8)],
        "fc6": [drawn(36 * 256, 4), drawn(4)],
        "fc7": [drawn(4, 5), drawn(5)],
        "fc8": [drawn(5, 6), drawn(6)],
    }


@pytest.mark.parametrize("protocol", [None, 2, 3, 5])
def test_layers_lie_as_torch_has_them(layers, tmp_path, protocol):
    found = read_checkpoint(written(tmp_path / "net.npy", layers, protocol))
    assert list(found) == [f"{name}.{part}" for name in layers for part in ("weight", "bias")]
    image = torch.from_numpy(drawn(1, 2, 5, 5))
    mapped = torch.nn.functional.conv2d(image, found["conv1.weight"], found["conv1.bias"])
    kernel = layers["conv1"][0]
    by_hand = sum(
        float(image[0, c, 1 + y, 2 + x]) * kernel[y, x, c]
        for y in range(3)
        for x in range(3)
        for c in range(2)
    )
    np.testing.assert_allclose(mapped[0, :, 1, 2], by_hand + layers["conv1"][1], atol=1e-5)
    last = drawn(1, 256, 6, 6)
    np.testing.assert_allclose(
        torch.from_numpy(last).flatten(1) @ found["fc6.weight"].T,
        last.transpose(0, 2, 3, 1).reshape(1, -1) @ layers["fc6"][0],
        rtol=1e-4,
        atol=1e-3,
    )
    np.testing.assert_array_equal(found["fc7.weight"], layers["fc7"][0].T)


def test_named_parts_are_read_too(tmp_path):
    weights, biases = drawn(4, 5), drawn(5)
    path = written(tmp_path / "net.npy", {"fc7": {"weights": weights, "biases": biases}})
    found = read_checkpoint(path)
    np.testing.assert_array_equal(found["fc7.weight"], weights.T)
    np.testing.assert_array_equal(found["fc7.bias"], biases)


def test_with_codebooks_the_last_layer_is_the_embedding(layers, tmp_path):
    words = drawn(512, 6)
    found = read_training_checkpoint(written(tmp_path / "net.npy", layers | {"C": words}))
    assert "fc8.weight" not in found.tensors
    np.testing.assert_array_equal(found.tensors["projection.weight"], layers["fc8"][0].T)
    np.testing.assert_array_equal(found.about[CODEBOOKS], words.reshape(2, 256, 6))


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_a_file_that_wants_to_run_code_is_refused_and_runs_nothing(layers, tmp_path):
    path = written(tmp_path / "net.npy", layers | {"fc9": Hostile(tmp_path / "ran")})
    with pytest.raises(PerisphereError, match=r"net\.npy.*Nothing of it was run"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_bytes_that_are_mentioned_again_and_again_are_refused(tmp_path):
    pair = [drawn(64, 64), drawn(64)]
    path = written(tmp_path / "net.npy", {f"fc{number}": pair for number in range(1000)})
    assert path.stat().st_size < 100_000
    with pytest.raises(PerisphereError, match="larger than the file"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([1, 2], "single array without a name"),
        ({}, "no named tensors"),
        ({"conv1": [drawn(2, 2)]}, "no pair of weights and bias"),
        ({"conv1": [drawn(2, 2), "text"]}, "no pair of weights and bias"),
        ({"conv1": 3}, "no pair of weights and bias"),
        ({"fc8": [drawn(4, 6), drawn(6)], "C": drawn(255, 6)}, "whole books of 256"),
        ({"fc8": [drawn(4, 6), drawn(6)], "C": "text"}, "whole books of 256"),
        ({"fc8": [drawn(4, 6), drawn(6)], "C": drawn(256, 5)}, "words of 5 numbers"),
        ({"fc7": [drawn(4, 6), drawn(6)], "C": drawn(256, 6)}, "words of 6 numbers"),
    ],
)
def test_anything_else_is_an_error_of_one_line(layers, words, tmp_path):
    with pytest.raises(PerisphereError, match=words) as caught:
        read_checkpoint(written(tmp_path / "net.npy", layers))
    assert "\n" not in str(caught.value)
    assert "net.npy" in str(caught.value)


def test_a_damaged_file_is_named(layers, tmp_path):
    path = written(tmp_path / "net.npy", layers)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(PerisphereError, match=r"net\.npy: is damaged"):
        read_checkpoint(path)
