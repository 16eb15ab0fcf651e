import json

import numpy as np
import pytest
from drawn import picture
from PIL import Image

from perisphere.catalog import Catalog
from perisphere.codes import VladSpec, aggregate, sift
from perisphere.encoder import Embeddings, Encoder, Scales, embed
from perisphere.encoder.change import change
from perisphere.encoder.fit_vlad import fit_vlad
from perisphere.encoder.fit_whitening import whiten
from perisphere.errors import PerisphereError, UsageError

SPEC = VladSpec(words=4, keypoints=40)


def _photo(seed: int) -> np.ndarray:
    return picture(seed, 120 + 10 * (seed % 3), 160) // 2 + np.random.default_rng(seed).integers(
        0, 128, (120 + 10 * (seed % 3), 160, 1), dtype=np.uint8
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Catalog:
    """16 photos of three sizes; number 5 is plain grey, number 9 is no picture."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(16):
        Image.fromarray(_photo(number)).save(folder / f"{number:02}.png")
    Image.fromarray(np.full((90, 80, 3), 128, np.uint8)).save(folder / "05.png")
    (folder / "09.png").write_text("no picture")
    import polars as pl

    return Catalog(pl.DataFrame({"path": sorted(path.name for path in folder.iterdir())}), folder)


@pytest.fixture(scope="module")
def vlad(photos: Catalog) -> Encoder:
    return fit_vlad(photos, SPEC, size=100, sample=400)


def test_it_is_an_encoder_like_any_other(vlad: Encoder, photos: Catalog, tmp_path) -> None:
    vlad.save(tmp_path / "e")
    loaded = Encoder.load(tmp_path / "e")
    assert loaded.identity == vlad.identity
    assert loaded.dim == 512
    described = json.loads((tmp_path / "e" / "encoder.json").read_text())
    assert described["net"]["kind"] == "vlad"
    found = embed(photos, loaded, tmp_path / "vectors", batch_size=3)
    reasons = {skipped["path"]: skipped["reason"] for skipped in found.skipped}
    assert list(reasons) == ["05.png", "09.png"]
    assert "zero" in reasons["05.png"]
    good = [row for row in range(16) if row not in (5, 9)]
    np.testing.assert_array_equal(found.vectors, vlad.encode([photos.paths()[row] for row in good]))
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-6)
    assert Embeddings.load(tmp_path / "vectors").encoder["identity"] == vlad.identity


def test_a_photo_is_shrunk_described_and_aggregated(vlad: Encoder) -> None:
    photo = _photo(3)
    small = vlad.preprocessing(photo)
    assert max(small.shape) == 100
    expected = aggregate(sift(small, keypoints=40), vlad.net.vocabulary.numpy(), intra=True)
    np.testing.assert_allclose(vlad.encode([photo])[0], expected, atol=1e-6)


def test_a_query_without_key_points_is_an_error_that_names_it(vlad: Encoder, photos: Catalog) -> None:
    with pytest.raises(PerisphereError, match=r"05\.png: its embedding is zero"):
        vlad.encode([photos.paths()[5]])


def test_the_words_follow_the_seed(vlad: Encoder, photos: Catalog) -> None:
    assert fit_vlad(photos, SPEC, size=100, sample=400).identity == vlad.identity
    assert fit_vlad(photos, SPEC, size=100, sample=400, seed=1).identity != vlad.identity


def test_no_more_photos_are_read_than_the_sample_needs(photos: Catalog) -> None:
    few = fit_vlad(photos, VladSpec(words=2, keypoints=200), sample=300)
    assert few.provenance["vocabulary"]["photos"] == 3


def test_it_can_be_whitened_but_not_scaled_or_pooled(vlad: Encoder) -> None:
    pictures = [_photo(seed) for seed in range(12)]
    vectors = vlad.encode(pictures)
    short = whiten(vlad, vectors, 6)
    assert short.encode(pictures).shape == (12, 6)
    with pytest.raises(UsageError, match="several scales are for networks"):
        Encoder(vlad.net, vlad.preprocessing, name="x", scales=Scales(factors=(1, 0.5)))
    with pytest.raises(UsageError, match="no map to pool"):
        change(vlad, net={"pooling": "gem"})


def test_too_few_photos_are_an_error(photos: Catalog) -> None:
    blank = photos.with_table(photos.table[[5]])
    with pytest.raises(PerisphereError, match="0 key points for 4 words"):
        fit_vlad(blank, SPEC)
    with pytest.raises(PerisphereError, match="no images"):
        fit_vlad(photos.with_table(photos.table.clear()), SPEC)
