"""The published inputs by name: geometry, statistics, and what is refused."""

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from perisphere.encoder import Encoder, Preprocessing
from perisphere.encoder.change import change
from perisphere.encoder.preprocessing import View
from perisphere.encoder.published import DATA_SETS, VARIANTS
from perisphere.errors import UsageError
from perisphere.nets import NetSpec, build, input_spec


@pytest.mark.parametrize(
    ("name", "size", "shorter", "mean", "std"),
    [
        (
            "CIFAR-100",
            32,
            None,
            (129.30386353, 124.06987, 112.43356323),
            (68.17019653, 65.39176178, 70.4180603),
        ),
        ("nab", 224, 256, (125.30513277, 129.66606421, 118.45121113), (57.0045467, 56.70059436, 68.44430446)),
        (
            "NAB-large-ilsvrcmean",
            448,
            512,
            (122.65435242, 116.6545058, 103.99789959),
            (71.40583196, 69.56888997, 73.0440314),
        ),
        ("cub", 448, 512, (123.82988033, 127.35116805, 110.25606303), (59.2230949, 58.0736071, 67.80251684)),
        (
            "flowers",
            448,
            512,
            (110.7799141, 97.65648664, 75.32889973),
            (74.90387818, 62.70218863, 69.7656359),
        ),
        (
            "cars",
            448,
            512,
            (120.03730636, 117.33780928, 116.0130335),
            (75.40415763, 75.15394251, 77.28286728),
        ),
        (
            "inat2019",
            224,
            256,
            (115.77492586, 120.84414891, 93.51744386),
            (60.46127213, 58.63136496, 63.5872299),
        ),
        (
            "inat_Aves-large",
            448,
            512,
            (125.68554284, 131.58931007, 123.51576605),
            (56.91926625, 57.04151665, 67.97284604),
        ),
        (
            "ilsvrc",
            224,
            256,
            (122.65435242, 116.6545058, 103.99789959),
            (71.40583196, 69.56888997, 73.0440314),
        ),
    ],
)
def test_sizes_and_statistics(name, size, shorter, mean, std):
    made = Preprocessing.published(name)
    assert (made.size, made.shorter, made.mean, made.std) == ((size, size), shorter, mean, std)
    assert (made.scale, made.channels) == (1.0, "RGB")
    batch = torch.tensor([[[[120, 130, 140]]]], dtype=torch.uint8)
    expected = [(pixel - m) / s for pixel, m, s in zip((120, 130, 140), mean, std, strict=True)]
    torch.testing.assert_close(made.normalise(batch)[0, :, 0, 0], torch.tensor(expected))


def test_caffe_takes_its_mean_off_and_turns_the_channels_round():
    made = Preprocessing.published("cub-caffe")
    batch = torch.tensor([[[[120, 130, 140]]]], dtype=torch.uint8)
    expected = torch.tensor([140 - 103.939, 130 - 116.779, 120 - 123.68])
    torch.testing.assert_close(made.normalise(batch)[0, :, 0, 0], expected)
    assert made.size == (448, 448)


@pytest.mark.parametrize(("height", "width"), [(300, 400), (400, 300), (64, 64), (80, 200)])
def test_the_shorter_side_is_scaled_and_the_centre_cut(height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    made = Preprocessing(size=(56, 56), shorter=64)
    factor = 1
    while min(height, width) // (2 * factor) >= 64:
        factor *= 2
    small = cv2.resize(image, (-(-width // factor), -(-height // factor)), interpolation=cv2.INTER_AREA)
    scale = 64 / min(small.shape[:2])
    scaled = cv2.resize(small, (round(small.shape[1] * scale), round(small.shape[0] * scale)))
    top, left = (scaled.shape[0] - 56) // 2, (scaled.shape[1] - 56) // 2
    np.testing.assert_array_equal(made(image), scaled[top : top + 56, left : left + 56])


def test_every_name_and_variant_is_whole():
    for name, found in DATA_SETS.items():
        assert Preprocessing.published(name).size == (found.side, found.side)
        for variant in VARIANTS if found.side > 32 else ():
            assert Preprocessing.published(name + variant).std != found.std or name == "ilsvrc"
    assert Preprocessing.published("nabirds") == Preprocessing.published("nab")
    assert Preprocessing.published("inat") == Preprocessing.published("inat2018")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nap", "Did you mean 'nab'?"),
        ("zzzzzz", "The names are cifar-10,"),
        ("cub-large", "448 pixels already"),
        ("cifar-100-caffe", "neither -large nor -ilsvrcmean"),
        ("cifar-10-large", "neither -large"),
        ("inat_dragons", "no published preprocessing"),
    ],
)
def test_a_name_that_is_none_is_refused(name, words):
    with pytest.raises(UsageError, match=r"published preprocessing|so there is no") as caught:
        Preprocessing.published(name)
    assert words in str(caught.value)
    assert repr(name) in str(caught.value)


def test_a_name_stands_for_the_whole_and_fields_may_differ():
    assert Preprocessing.model_validate("cub") == Preprocessing.published("cub")
    smaller = Preprocessing.model_validate({"published": "nab", "size": (96, 96), "shorter": 110})
    assert (smaller.size, smaller.shorter) == ((96, 96), 110)
    assert smaller.mean == Preprocessing.published("nab").mean
    with pytest.raises(ValidationError, match="no published preprocessing 'nope'"):
        Preprocessing.model_validate({"published": "nope"})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"shorter": 63}, "at least the larger side"),
        ({"shorter": 80, "resize": "pad"}, "is for resize: crop or squash"),
        ({"shorter": 80, "resize": "squash", "smooth": True}, "leave shorter out"),
    ],
)
def test_a_shorter_side_that_makes_no_sense(fields, words):
    with pytest.raises(ValidationError, match=words):
        Preprocessing(size=(64, 64), **fields)


@pytest.mark.parametrize(("height", "width"), [(300, 400), (64, 64), (80, 200)])
def test_a_squashed_picture_is_cut_in_the_middle_too(height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    made = Preprocessing.published("wsdhq")
    whole = made.uncut()
    assert (whole.size, whole.shorter) == ((256, 256), None)
    np.testing.assert_array_equal(made(image), whole(image)[14:241, 14:241])


def test_a_part_of_a_squashed_picture_is_the_part_of_the_whole():
    ramp = np.broadcast_to(np.linspace(0, 255, 512).astype(np.uint8)[None, :, None], (200, 512, 3)).copy()
    made = Preprocessing.published("wsdhq")
    whole = made.uncut()(ramp).astype(int)
    for x, left in ((0.0, 0), (0.5, 14), (1.0, 29)):
        seen = made.seen(ramp, View(256, x, 0.5)).astype(int)
        assert seen.shape == (227, 227, 3)
        assert abs(seen - whole[14:241, left : left + 227]).max() <= 1


def test_wsdhq_takes_a_mean_of_b_g_and_r_off_r_g_and_b():
    made = Preprocessing.published("WSDHQ")
    batch = torch.tensor([[[[120, 130, 140]]]], dtype=torch.uint8)
    expected = torch.tensor([120 - 103.939, 130 - 116.779, 140 - 123.68])
    torch.testing.assert_close(made.normalise(batch)[0, :, 0, 0], expected)
    right = Preprocessing.for_architecture(input_spec("alexnet"))
    expected = torch.tensor([140 - 103.939, 130 - 116.779, 120 - 123.68])
    torch.testing.assert_close(right.normalise(batch)[0, :, 0, 0], expected)
    assert (right.size, right.shorter, right.resize) == (made.size, made.shorter, made.resize)


def test_another_size_shows_the_same_part():
    made = Preprocessing.published("nab").at_size(448, 448)
    assert (made.size, made.shorter) == ((448, 448), 512)
    assert Preprocessing(size=(32, 32)).at_size(16, 24) == Preprocessing(size=(16, 24))


def test_a_changed_encoder_keeps_the_part_that_it_shows():
    encoder = Encoder(
        build(NetSpec(backbone="small32"), seed=0), Preprocessing.published("nab"), name="birds"
    )
    larger = change(encoder, preprocessing={"size": (448, 448)}).preprocessing
    assert (larger.size, larger.shorter) == ((448, 448), 512)
    assert change(encoder, preprocessing={"resize": "squash"}).preprocessing.shorter is None


def test_the_identity_of_older_encoders_stays():
    assert "shorter" not in Preprocessing(size=(32, 32)).model_dump(exclude_defaults=True)
