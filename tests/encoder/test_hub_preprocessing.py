"""``preprocessor_config.json`` as our preprocessing: the same pixels, or a refusal by name."""

from importlib import import_module
from typing import Any

import hub_models
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from perisphere.encoder.hub_preprocessing import hub_preprocessing
from perisphere.errors import PerisphereError

CASES = {
    "bit": ("dinov2", hub_models.CROPPED),
    "bit of older files": (
        "dinov2",
        {"feature_extractor_type": "BitFeatureExtractor", "size": 40, "crop_size": 28, "resample": 2},
    ),
    "clip that says nothing": ("clip", {}),
    "clip as it was first published": (
        "clip",
        {
            "crop_size": 224,
            "do_center_crop": True,
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "CLIPFeatureExtractor",
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "resample": 3,
            "size": 224,
        },
    ),
    "oblong crop": ("clip", {"size": {"shortest_edge": 30}, "crop_size": {"height": 20, "width": 30}}),
    "vit": ("vit", hub_models.SQUASHED),
    "vit of one number": ("vit", {"size": 24, "image_mean": 0.5, "image_std": 0.25}),
    "oblong vit by boxes": ("vit", {"size": {"height": 20, "width": 36}, "resample": 4}),
    "siglip": (
        "siglip",
        {"image_processor_type": "SiglipImageProcessorFast", "size": {"height": 48, "width": 48}},
    ),
    "convnext": ("convnext", hub_models.CONVNEXT),
    "resnet as it was first published": (
        "resnet",
        {
            "crop_pct": 0.875,
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "ConvNextFeatureExtractor",
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "resample": 3,
            "size": 224,
        },
    ),
    "siglip 2 as it is published": (
        "siglip",
        {
            "do_convert_rgb": None,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            **hub_models.HALF,
            "image_processor_type": "SiglipImageProcessor",
            "processor_class": "SiglipProcessor",
            "resample": 2,
            "rescale_factor": 0.00392156862745098,
            "size": {"height": 256, "width": 256},
        },
    ),
    "convnext of another share": ("resnet", {**hub_models.CONVNEXT, "crop_pct": 0.7}),
    "large convnext": ("convnextv2", {**hub_models.CONVNEXT, "size": {"shortest_edge": 384}}),
    "values as they are": ("vit", {"size": 16, "do_rescale": False, "do_normalize": False}),
    "values 0 to 1": ("vit", {"size": 16, "do_normalize": False}),
}


HOMES = {
    "clip": ("clip", "CLIP"),
    "dinov2": ("bit", "Bit"),
    "siglip": ("siglip", "Siglip"),
    "vit": ("vit", "ViT"),
}


def processor(family: str, given: dict[str, Any]) -> Any:
    """Return the library's own processor that works with Pillow."""
    module, name = HOMES.get(family, ("convnext", "ConvNext"))
    home = import_module(f"transformers.models.{module}.image_processing_pil_{module}")
    settings = {key: value for key, value in given.items() if not key.endswith("_type")}
    return getattr(home, f"{name}ImageProcessorPil")(**settings)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=15, deadline=None)
@given(st.integers(9, 120), st.integers(9, 120), st.integers(0, 9))
def test_pixels_are_the_librarys_own(case: str, height: int, width: int, seed: int) -> None:
    pytest.importorskip("transformers")
    assume(1 / 4 <= height / width <= 4)  # the ends of longer strips are cut off before they are scaled
    photo = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    family, given = CASES[case]
    ours = hub_preprocessing(given, family)
    found = ours.normalise(torch.from_numpy(ours(photo)[None].copy()))[0].numpy()
    expected = processor(family, given)(Image.fromarray(photo), return_tensors="np")["pixel_values"][0]
    np.testing.assert_allclose(found, expected, atol=2e-5 * max(1, np.abs(expected).max()))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(8, 48), st.integers(0, 40))
def test_the_centre_by_pillow_alone(height: int, width: int, side: int, more: int) -> None:
    """The same in other words: the box of the source that the cut shows, resized by itself."""
    assume(1 / 4 <= height / width <= 4)
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    shorter = side + more
    given = {"size": {"shortest_edge": shorter}, "crop_size": {"height": side, "width": side}, "resample": 2}
    found = hub_preprocessing(given, "clip")(photo)
    short = min(height, width)
    whole = Image.fromarray(photo).resize(
        (shorter * width // short, shorter * height // short), Image.Resampling.BILINEAR
    )
    left, top = (whole.width - side) // 2, (whole.height - side) // 2
    np.testing.assert_array_equal(found, np.asarray(whole.crop((left, top, left + side, top + side))))


def test_a_strip_takes_little_memory() -> None:
    """A photo of one row, enlarged whole to the shorter side, would take gigabytes."""
    found = hub_preprocessing({}, "clip")(np.full((1, 200_000, 3), 7, np.uint8))
    assert found.shape == (224, 224, 3)
    assert (found == 7).all()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"image_processor_type": "EvilImageProcessor"},
            "image_processor_type: there is no 'EvilImageProcessor'",
        ),
        ({"image_processor_type": "VitImageProcessor"}, "Did you mean 'ViTImageProcessor'"),
        ({"image_processor_type": 7}, "image_processor_type: there is no '7'"),
        ({"do_resize": False}, "do_resize is false"),
        ({"do_pad": True}, "do_pad is true"),
        ({"do_center_crop": False}, "size: shortest_edge without do_center_crop"),
        ({"do_center_crop": "no"}, "do_center_crop is no; true or false"),
        ({"resample": 1}, "resample: the filter lanczos is not supported"),
        ({"resample": 0}, "resample: the filter nearest is not supported"),
        ({"resample": "bicubic"}, "resample: the filter bicubic is not supported"),
        ({"resample": [3]}, "resample: the filter"),
        ({"size": {"longest_edge": 100}}, "size is .*; shortest_edge, or height and width, is needed"),
        ({"size": {"shortest_edge": 10, "longest_edge": 100}}, "size is .*is needed"),
        ({"size": {"shortest_edge": 10**9}}, "sides of 1 to 8192 pixels are needed"),
        ({"size": {"shortest_edge": 0}}, "sides of 1 to 8192 pixels are needed"),
        ({"size": {"shortest_edge": True}}, "sides of 1 to 8192 pixels are needed"),
        ({"size": "large"}, "size is large"),
        ({"size": {"shortest_edge": 100}}, "shorter is 100; it must be at least the larger side"),
        ({"crop_size": {"shortest_edge": 10}}, "crop_size: height and width are needed"),
        ({"size": {"height": 256, "width": 256}}, "squashed photo of which the centre"),
        ({"image_mean": [0.5, 0.5]}, "image_mean is .*three numbers"),
        ({"image_std": [0, 1, 1]}, "std: a standard deviation must be above 0"),
        ({"image_std": ["a", 1, 1]}, "image_std is .*three numbers"),
        ({"image_std": [1e400, 1, 1]}, "image_std is .*three numbers"),
        ({"rescale_factor": "1/255"}, "rescale_factor is 1/255; a number"),
        ({"rescale_factor": -1}, "scale: Input should be greater than 0"),
    ],
)
def test_what_cannot_be_the_same_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(PerisphereError, match=said) as caught:
        hub_preprocessing(fields, "clip")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("share", "said"), [(0, "crop_pct is 0"), (2, "crop_pct is 2"), ("x", "crop_pct is x")]
)
def test_shares_that_cannot_be(share: Any, said: str) -> None:
    with pytest.raises(PerisphereError, match=said):
        hub_preprocessing({"size": {"shortest_edge": 32}, "crop_pct": share}, "convnext")
