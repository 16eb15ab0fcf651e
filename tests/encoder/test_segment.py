"""Photos become masks, scores and features."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

from perisphere.encoder import Encoder, Preprocessing
from perisphere.encoder.dense_crf import dense_crf
from perisphere.encoder.segment import Segmentation, Segmenter, regions
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, build
from perisphere.nets.segmentation import SegmentationSpec, build_segmentation

CLASSES = ("tower", "portal", "statue")
CRF = pytest.mark.skipif(importlib.util.find_spec("pydensecrf") is None, reason="pydensecrf2 is not here")


def encoder_of(head: str = "single-stage", classes: tuple[str, ...] = CLASSES) -> Encoder:
    width = {"width": 8} if head == "single-stage" else {}
    spec = SegmentationSpec(backbone="squeezenet1_0", head=head, classes=classes, **width)
    net = build_segmentation(spec, seed=1)
    return Encoder(net.eval(), Preprocessing(size=(48, 48)), name="small")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return encoder_of()


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    made = np.random.default_rng(0).integers(0, 80, (40, 56, 3), np.uint8)
    made[:, 20:] += 150
    return made


@pytest.mark.parametrize("head", ["single-stage", "cam", "classifier"])
def test_a_photo_gets_labels_of_its_own_size(head: str, picture: np.ndarray) -> None:
    found = Segmenter(encoder_of(head), scales=(1, 0.7), precision="float32").segment(picture)
    assert found.labels.shape == (40, 56)
    assert found.labels.dtype == np.uint8
    assert found.masks.shape == (4, 40, 56)
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    assert found.kept.sum() == 1
    place = int(found.scores.argmax())
    assert found.kept[place]
    assert set(np.unique(found.labels)) <= {0, place + 1}


def test_it_is_repeatable_and_a_mirrored_photo_gives_mirrored_labels(
    encoder: Encoder, picture: np.ndarray
) -> None:
    segmenter = Segmenter(encoder, keep=3, precision="float32")
    found = segmenter.segment(picture)
    np.testing.assert_array_equal(segmenter.segment(picture).masks, found.masks)
    mirrored = segmenter.segment(np.ascontiguousarray(picture[:, ::-1]))
    np.testing.assert_allclose(mirrored.masks[..., ::-1], found.masks, atol=1e-4)
    np.testing.assert_allclose(mirrored.scores, found.scores, atol=1e-5)


def test_one_scale_without_a_mirror_is_the_network_itself(encoder: Encoder, picture: np.ndarray) -> None:
    segmenter = Segmenter(encoder, flip=False, background_power=1, keep=3, size=56, precision="float32")
    found = segmenter.segment(picture)
    images = encoder.preprocessing.normalise(torch.from_numpy(picture)[None])
    with torch.inference_mode():
        maps = encoder.segmentation.run(images)
        masks = encoder.segmentation.masks_at(maps, (40, 56))[0].numpy()
    np.testing.assert_allclose(found.masks, masks, atol=1e-4)
    np.testing.assert_allclose(found.scores, maps.scores[0].sigmoid().numpy(), atol=1e-5)


def test_what_is_kept(encoder: Encoder, picture: np.ndarray) -> None:
    every = Segmenter(encoder, keep=3).segment(picture)
    assert every.kept.all()
    middle = float(np.median(every.scores))
    assert Segmenter(encoder, keep=middle).segment(picture).kept.sum() == 2
    named = Segmenter(encoder, keep="labels").segment(picture, labels=["statue", "gargoyle"])
    assert named.kept.tolist() == [False, False, True]
    nothing = Segmenter(encoder, keep="labels").segment(picture)
    assert not nothing.labels.any()


def test_a_higher_power_leaves_less_background(encoder: Encoder, picture: np.ndarray) -> None:
    shares = [
        (Segmenter(encoder, background_power=power, keep=3).segment(picture).labels == 0).mean()
        for power in (0.25, 1, 8)
    ]
    assert shares[0] >= shares[1] >= shares[2]
    assert shares[0] > shares[2]


def test_refined_masks_follow_the_edge_of_the_photo(encoder: Encoder, picture: np.ndarray) -> None:
    plain = Segmenter(encoder, keep=3, background_power=1).segment(picture).masks
    fitted = Segmenter(encoder, keep=3, background_power=1, refine=True).segment(picture).masks
    at_edge = [np.abs(masks[:, :, 20] - masks[:, :, 19]).mean() for masks in (plain, fitted)]
    assert at_edge[1] > at_edge[0]


def test_a_large_photo_is_segmented_small_and_labelled_whole(encoder: Encoder) -> None:
    large = np.zeros((90, 3000, 3), np.uint8)
    found = Segmenter(encoder, flip=False).segment(large)
    assert found.labels.shape == (90, 3000)
    assert found.masks.shape == (4, 61, 2048)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 2)])
def test_tiny_photos_and_strips_are_segmented(encoder: Encoder, shape: tuple[int, int]) -> None:
    found = Segmenter(encoder, scales=(0.5,)).segment(np.zeros((*shape, 3), np.uint8))
    assert found.labels.shape == shape


def test_features_are_unit_vectors(encoder: Encoder, picture: np.ndarray) -> None:
    segmenter = Segmenter(encoder, precision="float32")
    features = segmenter.features(picture)
    lengths = np.linalg.norm(features, axis=0)
    assert features.shape[0] == 8
    assert np.all(np.isclose(lengths, 1, atol=1e-4) | (lengths == 0))
    assert segmenter.features(picture, "conv3").shape[1:] == features.shape[1:]
    with pytest.raises(UsageError, match="no layer 'encoder'"):
        segmenter.features(picture, "encoder")


def test_an_encoder_without_classes_has_features_alone(picture: np.ndarray) -> None:
    segmenter = Segmenter(encoder_of(classes=()))
    assert segmenter.features(picture).shape[0] == 8
    with pytest.raises(PerisphereError, match="without classes"):
        segmenter.segment(picture)


def test_nan_features_are_refused() -> None:
    broken = encoder_of()
    for weights in broken.net.parameters():
        weights.data.fill_(float("nan"))
    with pytest.raises(PerisphereError, match="gives NaN"):
        Segmenter(broken).features(np.zeros((40, 40, 3), np.uint8))


def test_another_encoder_is_refused() -> None:
    plain = Encoder(build(NetSpec(backbone="resnet18"), seed=0), Preprocessing(size=(32, 32)), name="plain")
    with pytest.raises(PerisphereError, match="cannot segment"):
        Segmenter(plain)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"scales": ()}, "scales"),
        ({"scales": (0,)}, "scales"),
        ({"scales": (float("nan"),)}, "scales"),
        ({"background_power": 0}, "background power"),
        ({"background_power": float("inf")}, "background power"),
        ({"keep": 0}, "keep 0"),
        ({"keep": 1.5}, "keep 1.5"),
        ({"keep": "best"}, "keep 'best'"),
        ({"keep": float("inf")}, "keep inf"),
        ({"size": 8}, "size 8"),
    ],
)
def test_options_out_of_range_are_named(encoder: Encoder, options: dict, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Segmenter(encoder, **options)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(encoder: Encoder, bad: np.ndarray) -> None:
    with pytest.raises(PerisphereError, match="cannot be segmented"):
        Segmenter(encoder).segment(bad)


def test_regions_say_where_each_class_is() -> None:
    labels = np.zeros((10, 20), np.uint8)
    labels[2:5, 3:9], labels[9, 19] = 1, 3
    found = Segmentation(labels, np.zeros((4, 10, 20)), np.array([0.25, 0.5, 0.75]), np.ones(3, bool))
    table = regions(found, CLASSES, 7)
    assert table["concept"].to_list() == ["tower", "statue"]
    assert table.row(0)[:1] + table.row(0)[4:] == (7, 3, 2, 9, 5)
    assert table["share"].to_list() == pytest.approx([18 / 200, 1 / 200])
    assert table["score"].to_list() == [0.25, 0.75]
    assert regions(found._replace(labels=np.zeros_like(labels)), CLASSES, 7).height == 0


@CRF
def test_the_crf_moves_masks_to_the_edges_of_the_photo(picture: np.ndarray) -> None:
    masks = np.full((2, 40, 56), 0.5, np.float32)
    masks[1, :, 24:] = 0.7  # the photo's edge is at 20
    masks[0] = 1 - masks[1]
    masks[0, :, :20] = 0.7
    found = dense_crf(picture, masks).argmax(0)
    assert (found[:, 20:] == 1).all()
    assert (found[:, :20] == 0).all()


@CRF
def test_a_class_that_is_not_kept_stays_out_of_the_crf(encoder: Encoder, picture: np.ndarray) -> None:
    found = Segmenter(encoder, keep="labels", crf=True).segment(picture, labels=["portal"])
    assert set(np.unique(found.labels)) <= {0, 2}
    assert not Segmenter(encoder, keep="labels", crf=True).segment(picture).labels.any()


def test_a_missing_crf_library_is_one_line(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    with pytest.raises(PerisphereError, match=r"perisphere\[crf\]"):
        Segmenter(encoder, crf=True)
