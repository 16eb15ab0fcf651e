"""Features by position of imported networks: the library's tokens, where the photo has them."""

import hub_models
import numpy as np
import pytest
import torch

from perisphere.encoder import Encoder
from perisphere.encoder.dense_features import DenseFeatures
from perisphere.encoder.from_hub import encoder_from_hub
from perisphere.errors import UsageError

pytest.importorskip("transformers")


@pytest.fixture(
    scope="module", params=["dinov2_with_registers", "vit", "clip", "siglip", "resnet", "convnext"]
)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("features") / request.param
    hub_models.save(request.param, folder)
    return encoder_from_hub(folder)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)


def test_unit_vectors_in_the_shape_of_the_photo(encoder: Encoder, photo: np.ndarray) -> None:
    found = DenseFeatures(encoder, size=64, precision="float32")(photo)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), 1, atol=1e-5)
    if encoder.net.patch > 1:
        assert found.shape[1:] == (5, 8)  # 41 x 64 pixels in patches of 8


def test_positions_are_the_librarys_tokens(encoder: Encoder, photo: np.ndarray) -> None:
    """A square photo of the network's own size needs neither resizing nor interpolation."""
    square = np.ascontiguousarray(photo[: hub_models.SIDE, : hub_models.SIDE])
    found = DenseFeatures(encoder, size=hub_models.SIDE, precision="float32")(square)
    batch = encoder.preprocessing.normalise(torch.from_numpy(square)[None])
    family = encoder.net.spec.family
    model = hub_models.build(family)
    with torch.inference_mode():
        body = model.vision_model if family in ("clip", "siglip") else model
        state = body(pixel_values=batch).last_hidden_state
    if state.ndim == 3:
        skipped = {"siglip": 0, "dinov2_with_registers": 4}.get(family, 1)
        state = state[:, skipped:].transpose(1, 2).reshape(1, -1, 4, 4)
    expected = torch.nn.functional.normalize(state, dim=1)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_it_has_one_layer(encoder: Encoder) -> None:
    assert DenseFeatures(encoder).layer == "last"
    with pytest.raises(UsageError, match=r"no layer 'layer3'\. Its layers are last"):
        DenseFeatures(encoder, layer="layer3")
