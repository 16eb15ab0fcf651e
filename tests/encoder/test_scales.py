import json

import numpy as np
import pytest
import torch
from drawn import picture
from pydantic import ValidationError
from torch.nn import functional as F

from perisphere.encoder import Encoder, Preprocessing, Scales, embed
from perisphere.encoder.change import change
from perisphere.encoder.scales import power_mean, scaled, ten_views
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, build
from perisphere.nets.pooling import gem, unit


def _encoder(scales: Scales | None = None, size: int = 48, **options: object) -> Encoder:
    net = build(NetSpec(backbone="cifar_resnet20", **options), seed=3)
    return Encoder(net, Preprocessing(size=(size, size), resize="squash"), name="scaled", scales=scales)


def test_descriptors_of_several_scales_are_those_of_the_reference(shared):
    golden = json.loads((shared / "golden" / "landmarks.json").read_text())["cases"]["multiscale"]
    assert len(golden) == 2
    for case in golden:
        given, expected = case["inputs"], case["outputs"]
        images = torch.tensor(given["image_nchw"])

        def net(some: torch.Tensor, p: float = given["gem_p"]) -> torch.Tensor:
            return unit(gem(some, p))

        for factor, size, row in zip(
            given["scales"], expected["per_scale_size_hw"], expected["per_scale_descriptor"], strict=True
        ):
            assert list(scaled(images, factor).shape[-2:]) == size
            torch.testing.assert_close(net(scaled(images, factor))[0], torch.tensor(row), atol=1e-5, rtol=0)
        scales = Scales(factors=given["scales"], power=given["msp"])
        torch.testing.assert_close(
            scales(net, images)[0], torch.tensor(expected["descriptor"]), atol=1e-5, rtol=0
        )


def test_one_scale_is_the_net_itself() -> None:
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(Scales()(lambda x: 7 * x.mean((2, 3)), images), 7 * images.mean((2, 3)))


def test_a_zero_at_every_scale_stays_zero_and_one_at_some_does_not_spoil_the_others() -> None:
    zero, one = torch.zeros(1, 4), torch.eye(4)[:1]
    assert torch.equal(power_mean([zero, zero], 3.0), zero)
    torch.testing.assert_close(power_mean([zero, one], 3.0), one)


def test_an_encoder_of_several_scales_aggregates_unit_vectors() -> None:
    factors = (1.0, 0.5**0.5, 0.5)
    encoder = _encoder(Scales(factors=factors, power=3.0), pooling="gem")
    pictures = [picture(seed) for seed in range(5)]
    images = encoder.preprocessing.normalise(
        torch.from_numpy(np.stack([encoder.preprocessing(image) for image in pictures]))
    )
    with torch.inference_mode():
        sizes = [(int(48 * factor),) * 2 for factor in factors]
        assert sizes == [(48, 48), (33, 33), (24, 24)]
        total = torch.zeros(5, encoder.dim)
        for factor in factors:
            small = F.interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False)
            total += F.normalize(encoder.net.eval()(small.contiguous())) ** 3
        expected = F.normalize((total / 3) ** (1 / 3)).numpy()
    np.testing.assert_allclose(encoder.encode(pictures, precision="float32"), expected, atol=1e-5)


def test_scales_are_part_of_the_identity_and_are_saved(tmp_path) -> None:
    plain, scaled_ = _encoder(), _encoder(Scales(factors=(1, 0.5)))
    assert plain.identity == _encoder(Scales()).identity
    powered = Encoder(
        plain.net, plain.preprocessing, name="powered", scales=Scales(factors=(1, 0.5), power=2)
    )
    assert len({plain.identity, scaled_.identity, powered.identity}) == 3
    scaled_.save(tmp_path / "e")
    loaded = Encoder.load(tmp_path / "e")
    assert loaded.scales == Scales(factors=(1, 0.5))
    assert loaded.identity == scaled_.identity
    np.testing.assert_array_equal(loaded.encode([picture(0)]), scaled_.encode([picture(0)]))


def test_an_encoder_from_before_scales_loads(tmp_path) -> None:
    encoder = _encoder()
    encoder.save(tmp_path / "e")
    file = tmp_path / "e" / "encoder.json"
    described = json.loads(file.read_text())
    del described["scales"]
    new = ("regional", "region_projection", "local_projection", "unit_pooled")
    described["net"] = {name: value for name, value in described["net"].items() if name not in new}
    file.write_text(json.dumps({**described, "format": 1}))
    assert Encoder.load(tmp_path / "e").identity == encoder.identity == described["identity"]


@pytest.mark.parametrize("options", [{"projection": 8}, {"bnneck": True}])
def test_a_power_of_signed_numbers_is_refused(options: dict, tmp_path) -> None:
    with pytest.raises(UsageError, match="power mean of 3 needs embeddings without negative"):
        _encoder(Scales(factors=(1, 0.5), power=3), **options)
    encoder = _encoder(Scales(factors=(1, 0.5)), **options)
    encoder.save(tmp_path / "e")
    file = tmp_path / "e" / "encoder.json"
    described = json.loads(file.read_text())
    described["scales"]["power"] = 3
    file.write_text(json.dumps(described))
    with pytest.raises(PerisphereError, match=r"encoder\.json: damaged .*power mean"):
        Encoder.load(tmp_path / "e")


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"factors": ()}, "factors"),
        ({"factors": (0,)}, "factors"),
        ({"factors": (1, -1)}, "factors"),
        ({"factors": (float("nan"),)}, "factors"),
        ({"factors": (1,) * 17}, "factors"),
        ({"power": 0}, "power"),
        ({"power": float("inf")}, "power"),
        ({"sizes": (1,)}, "sizes"),
    ],
)
def test_an_invalid_scale_is_named(options: dict, place: str) -> None:
    with pytest.raises(ValidationError, match=place):
        Scales(**options)


def test_ten_views_are_corners_and_middle_and_their_mirrors() -> None:
    images = torch.arange(256.0).repeat(1, 1, 256, 1) + 1000 * torch.arange(256.0)[:, None]
    views = list(ten_views(images, (227, 227)))
    assert all(view.shape == (1, 1, 227, 227) for view in views)
    first = [divmod(int(view[0, 0, 0, 0]), 1000) for view in views]
    places = [(0, 0), (0, 28), (28, 0), (28, 28), (14, 14)]
    assert first[:5] == places
    assert first[5:] == [(row, 255 - column) for row, column in places]


def test_an_encoder_of_ten_views_gives_their_mean_and_keeps_lengths() -> None:
    net = build(NetSpec(backbone="cifar_resnet20", projection=8, activation="tanh"), seed=3).eval()
    preprocessing = Preprocessing(size=(40, 40), shorter=48, resize="squash")
    encoder = Encoder(net, preprocessing, name="ten", scales=Scales(views="ten"))
    pictures = [picture(seed, 70, 60) for seed in range(3)]
    batch = torch.from_numpy(np.stack([preprocessing.uncut()(one) for one in pictures]))
    with torch.no_grad():
        rows = [net(view) for view in ten_views(preprocessing.normalise(batch), (40, 40))]
    mean = torch.stack(rows).mean(dim=0)
    inference = encoder.inference(precision="float32", unit=False)
    found = inference(np.stack([inference.preprocessing(one) for one in pictures]))
    np.testing.assert_allclose(found, mean.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.encode(pictures, precision="float32"), unit(mean).numpy(), atol=1e-5)


def test_views_are_part_of_the_identity_and_survive_saving(tmp_path) -> None:
    net = build(NetSpec(backbone="cifar_resnet20"), seed=3)
    one = Encoder(net, Preprocessing(size=(32, 32), shorter=40), name="views")
    ten = change(one, views="ten")
    assert ten.identity != one.identity
    ten.save(tmp_path / "ten")
    assert Encoder.load(tmp_path / "ten").scales == Scales(views="ten")
    assert change(ten, views="one").identity == one.identity


def test_mirrored_pictures_have_the_same_embedding_in_ten_views() -> None:
    net = build(NetSpec(backbone="cifar_resnet20"), seed=3).eval()
    images = torch.rand(2, 3, 40, 40)
    scales = Scales(factors=(1.0, 0.5), views="ten")
    with torch.no_grad():
        torch.testing.assert_close(
            scales(net, images, (32, 32)), scales(net, images.flip(3), (32, 32)), atol=1e-4, rtol=0
        )


def test_ten_views_need_a_picture_larger_than_the_input() -> None:
    with pytest.raises(UsageError, match="cuts nothing off"):
        _encoder(Scales(views="ten"))


def test_a_catalog_is_embedded_in_ten_views(catalog, tmp_path) -> None:
    net = build(NetSpec(backbone="cifar_resnet20"), seed=3)
    preprocessing = Preprocessing(size=(32, 32), shorter=40)
    encoder = Encoder(net, preprocessing, name="ten", scales=Scales(views="ten"))
    found = embed(catalog, encoder, tmp_path / "vectors", batch_size=2, precision="float32")
    paths = [catalog.root / path for path in found.rows["path"]]
    np.testing.assert_allclose(found.vectors, encoder.encode(paths, precision="float32"), atol=1e-5)
    one = Encoder(net, preprocessing, name="one").encode(paths, precision="float32")
    assert abs(found.vectors - one).max() > 1e-3
