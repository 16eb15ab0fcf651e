import json

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perisphere.encoder import Preprocessing
from perisphere.errors import PerisphereError
from perisphere.nets import architectures, input_spec


def _made(**options: object) -> Preprocessing:
    return Preprocessing(**{"size": (4, 6), **options})


def test_squash_gives_the_size_whatever_the_shape() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 9, 3), dtype=np.uint8)
    expected = cv2.resize(image, (6, 4), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(_made(resize="squash")(image), expected)


def test_crop_keeps_the_middle() -> None:
    image = np.zeros((4, 12, 3), np.uint8)
    image[:, 3:9] = 200
    np.testing.assert_array_equal(_made(resize="crop")(image), np.full((4, 6, 3), 200))


def test_crop_of_a_tall_picture_keeps_the_middle() -> None:
    image = np.zeros((12, 6, 3), np.uint8)
    image[4:8] = 200
    np.testing.assert_array_equal(_made(resize="crop")(image), np.full((4, 6, 3), 200))


@pytest.mark.parametrize(("channels", "colour"), [("RGB", [51, 102, 204]), ("BGR", [204, 102, 51])])
def test_pad_fills_with_the_mean_colour(channels: str, colour: list[int]) -> None:
    image = np.full((4, 4, 3), 255, np.uint8)
    padded = _made(resize="pad", channels=channels, mean=(0.2, 0.4, 0.8))(image)
    np.testing.assert_array_equal(padded[:, 1:5], np.full((4, 4, 3), 255))
    np.testing.assert_array_equal(padded[:, [0, 5]], np.broadcast_to(colour, (4, 2, 3)))


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (700, 1), (4, 6), (37, 53), (300, 200)])
def test_every_shape_comes_out_at_the_size(resize: str, shape: tuple[int, int]) -> None:
    out = _made(resize=resize)(np.zeros((*shape, 3), np.uint8))
    assert out.shape == (4, 6, 3)
    assert out.dtype == np.uint8


@pytest.mark.parametrize("shape", [(1, 30_000), (30_000, 1), (3, 30_000)])
def test_a_strip_is_never_enlarged_whole(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    made, resized = cv2.resize, []
    monkeypatch.setattr(cv2, "resize", lambda *args, **named: resized.append(args[1]) or made(*args, **named))
    image = np.zeros((*shape, 3), np.uint8)
    middle = tuple(slice(side // 2 - 20, side // 2 + 20) if side > 40 else slice(None) for side in shape)
    image[middle] = 200
    out = Preprocessing(size=(224, 224))(image)
    np.testing.assert_array_equal(out, np.full((224, 224, 3), 200))
    assert max(width * height for width, height in resized) < 10 * 224 * 224


def test_a_photo_of_usual_shape_is_resized_whole() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 31, 3), dtype=np.uint8)
    whole = cv2.resize(image, (21, 6), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(Preprocessing(size=(6, 6))(image), whole[:, 7:13])


def test_a_strong_shrinking_averages_and_does_not_pick_pixels() -> None:
    checker = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    out = Preprocessing(size=(8, 8), resize="squash")(np.repeat(checker[..., None], 3, axis=2))
    assert np.abs(out.astype(int) - 128).max() <= 1


def test_normalise_is_scale_then_mean_then_std_in_the_order_of_the_channels() -> None:
    batch = torch.tensor([[[[10, 20, 30]]]], dtype=torch.uint8)
    made = _made(channels="BGR", scale=0.1, mean=(1, 2, 3), std=(2, 4, 8))
    expected = [(3 - 1) / 2, (2 - 2) / 4, (1 - 3) / 8]
    torch.testing.assert_close(made.normalise(batch), torch.tensor(expected).reshape(1, 3, 1, 1))


def test_normalise_lies_channels_last_and_leaves_its_input_alone() -> None:
    batch = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)
    before = batch.clone()
    out = _made().normalise(batch)
    assert out.shape == (2, 3, 5, 7)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch, before)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_another_dtype_or_shape_is_named(image: np.ndarray) -> None:
    with pytest.raises(PerisphereError, match=r"uint8 RGB \[h, w, 3\]"):
        _made()(image)


@pytest.mark.parametrize(
    "options",
    [
        {"size": (0, 4)},
        {"size": (4, 9000)},
        {"resize": "stretch"},
        {"interpolation": "nearest"},
        {"channels": "GRB"},
        {"scale": 0},
        {"scale": float("inf")},
        {"mean": (0, 0)},
        {"mean": (0, 0, float("nan"))},
        {"std": (1, 1, 0)},
        {"std": (1, 1, float("nan"))},
        {"colour": "RGB"},
    ],
)
def test_an_invalid_value_is_refused_by_name(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        _made(**options)


@pytest.mark.parametrize("name", architectures())
def test_every_architecture_has_its_preprocessing(name: str) -> None:
    spec = input_spec(name)
    made = Preprocessing.for_architecture(spec, size=48)
    assert made.size == (48, 48)
    assert (made.channels, made.scale, made.mean, made.std) == (
        spec.channels,
        spec.scale,
        spec.mean,
        spec.std,
    )
    assert Preprocessing.for_architecture(spec).size == spec.size
    assert Preprocessing.model_validate_json(made.model_dump_json()) == made


def _long(size: int, **options: object) -> Preprocessing:
    return Preprocessing(size=(size, size), resize="long", **options)


def test_cut_and_limited_sizes_are_those_of_the_reference(shared):
    cases = json.loads((shared / "golden" / "landmarks.json").read_text())["cases"]["query_crop_and_resize"]
    assert len(cases) == 5
    for case in cases:
        given_, expected = case["inputs"], case["outputs"]
        image = np.zeros((given_["height"], given_["width"], 3), np.uint8)
        out = _long(given_["image_size"])(image, given_["bbx"])
        assert abs(out.shape[0] - expected["height"]) <= 1
        assert abs(out.shape[1] - expected["width"]) <= 1


@pytest.mark.parametrize("interpolation", ["bilinear", "area", "bicubic"])
def test_long_keeps_the_aspect_never_enlarges_and_does_not_alias(interpolation):
    made = _long(40, interpolation=interpolation)
    assert not made.one_size
    assert made(np.zeros((60, 90, 3), np.uint8)).shape == (27, 40, 3)
    assert made(np.zeros((4000, 2, 3), np.uint8)).shape == (40, 1, 3)
    small = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(made(small), small)
    checker = (np.indices((90, 66)).sum(0) % 2 * 255).astype(np.uint8)
    out = made(np.repeat(checker[..., None], 3, axis=2))
    assert np.abs(out[2:-2, 2:-2].astype(int) - 127).max() < 70  # sampling alone would give 0 and 255


def test_a_box_is_cut_out_first_rounded_and_clipped():
    image = np.zeros((20, 30, 3), np.uint8)
    image[4:9, 10:16] = 200
    for box in ([10, 4, 16, 9], [10.4, 3.6, 15.7, 9.2]):
        np.testing.assert_array_equal(_long(99)(image, box), np.full((5, 6, 3), 200))
        np.testing.assert_array_equal(_made(resize="squash")(image, box), np.full((4, 6, 3), 200))
    assert _long(99)(image, [-5, -5, 300, 300]).shape == (20, 30, 3)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 64), st.integers(0, 99), st.integers(1, 99))
def test_an_object_is_as_large_in_the_cut_as_in_the_whole(height, width, size, start, length):
    image = np.zeros((height, width, 3), np.uint8)
    x0 = min(start, width - 1)
    x1 = min(width, x0 + length)
    whole, part = _long(size)(image), _long(size)(image, [x0, 0, x1, height])
    scale = max(whole.shape[:2]) / max(height, width)
    assert abs(part.shape[0] - height * scale) <= 1.5
    assert abs(part.shape[1] - (x1 - x0) * scale) <= 1.5


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [40, 0, 50, 9], [1, 2, 3], [0, 0, float("nan"), 5]])
def test_a_box_that_holds_nothing_is_named(box):
    with pytest.raises(PerisphereError, match="the box"):
        _made()(np.zeros((20, 30, 3), np.uint8), box)


def test_long_has_one_limit():
    with pytest.raises(ValidationError, match="resize long has one limit"):
        _made(resize="long")


def test_the_legacy_preset_gives_sums_of_pixels_between_0_and_1():
    legacy = Preprocessing.legacy()
    batch = torch.randint(0, 256, (1, 600, 600, 3), dtype=torch.uint8)
    expected = batch.permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(legacy.normalise(batch), expected)
    assert legacy(np.zeros((100, 50, 3), np.uint8)).shape == (600, 600, 3)
