import numpy as np
import pytest
import torch
from drawn import picture
from pydantic import ValidationError

from perisphere.encoder import Encoder, Preprocessing, Scales
from perisphere.encoder.change import change
from perisphere.encoder.fit_whitening import whiten
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, build


def _encoder(**options: object) -> Encoder:
    net = build(NetSpec(backbone="small32", **options), seed=1)
    return Encoder(net, Preprocessing(size=(32, 32), resize="crop"), name="first", provenance={"seed": 1})


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [picture(seed) for seed in range(12)]


def test_another_pooling_keeps_every_other_weight(pictures) -> None:
    first = _encoder(projection=8)
    changed = change(first, net={"pooling": "gem", "gem_p": 2.5, "regional": True}, name="second")
    assert changed.net.spec == NetSpec(
        backbone="small32", projection=8, pooling="gem", gem_p=2.5, regional=True
    )
    old, new = first.net.state_dict(), changed.net.state_dict()
    assert all(torch.equal(old[name], new[name]) for name in new)
    assert changed.name == "second"
    assert changed.provenance == {"seed": 1, "changed_from": first.identity}
    assert np.abs(changed.encode(pictures[:1]) - first.encode(pictures[:1])).max() > 1e-4
    assert first.net.spec.pooling == "spoc"


def test_a_learned_exponent_stays_unless_another_is_given() -> None:
    first = _encoder(pooling="gem", gem_learned=True)
    with torch.no_grad():
        first.net.pooling.p.fill_(4.5)
    assert change(first, net={"regional": True}).net.pooling.p.item() == 4.5
    fixed = change(first, net={"gem_p": 2.0})
    assert fixed.net.pooling.p.item() == 2.0
    assert not fixed.net.spec.gem_learned
    assert change(first, net={"pooling": "mac"}).net.spec.gem_learned is False


@pytest.mark.parametrize(
    ("options", "factors", "power"),
    [
        ({"pooling": "gem", "gem_p": 2.5}, (1, 0.5), 2.5),
        ({"pooling": "gem", "gem_p": 2.5}, (1,), 1),
        ({"pooling": "gem", "regional": True}, (1, 0.5), 1),
        ({"pooling": "gem", "projection": 8}, (1, 0.5), 1),
        ({"pooling": "mac"}, (1, 0.5), 1),
    ],
)
def test_the_power_of_the_mean_is_gems_exponent_where_that_is_possible(options, factors, power) -> None:
    assert change(_encoder(**options), factors=factors).scales == Scales(factors=factors, power=power)


def test_the_power_follows_a_change_of_the_pooling_and_can_be_given() -> None:
    scaled = change(_encoder(pooling="gem"), factors=(1, 0.5))
    assert scaled.scales.power == 3
    assert change(scaled, net={"pooling": "mac"}).scales == Scales(factors=(1, 0.5))
    assert change(scaled, power=1.0).scales == Scales(factors=(1, 0.5))
    assert change(scaled, factors=(1,)).scales == Scales()


def test_another_input_keeps_the_other_fields() -> None:
    changed = change(_encoder(), preprocessing={"size": (48, 48), "resize": "long"})
    assert changed.preprocessing == Preprocessing(size=(48, 48), resize="long")


def test_a_whitening_can_be_shortened_and_taken_off(pictures) -> None:
    first = _encoder()
    white = whiten(first, first.encode(pictures), 7)
    short = change(white, dim=3)
    np.testing.assert_allclose(short.whitening.projection, white.whitening.projection[:3])
    assert change(white, keep_whitening=False).identity == first.identity
    assert change(white, keep_whitening=False, factors=(1, 0.5)).dim == first.dim
    with pytest.raises(UsageError, match="dim is 8, but this whitening has 1 to 7"):
        change(white, dim=8)


def test_changes_below_a_whitening_need_it_gone(pictures) -> None:
    first = _encoder()
    white = whiten(first, first.encode(pictures), 7)
    for changes in ({"net": {"pooling": "mac"}}, {"factors": (1, 0.5)}, {"preprocessing": {"size": (9, 9)}}):
        with pytest.raises(UsageError, match="--no-whitening"):
            change(white, **changes)
    with pytest.raises(PerisphereError, match="whitens already"):
        whiten(white, white.encode(pictures))
    with pytest.raises(UsageError, match="has none"):
        change(first, keep_whitening=False)
    with pytest.raises(UsageError, match="--dim needs a whitening"):
        change(first, dim=3)


def test_what_the_weights_lack_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no weights for projection\.weight"):
        change(_encoder(), net={"projection": 8})
    with pytest.raises(UsageError, match=r"no weights for pooling\.projection"):
        change(_encoder(), net={"regional": True, "region_projection": True})
    with pytest.raises(ValidationError, match="rmac is regional"):
        change(_encoder(), net={"pooling": "rmac", "regional": True})


def test_a_learned_whitening_needs_labels(pictures) -> None:
    first = _encoder()
    vectors = first.encode(pictures)
    with pytest.raises(PerisphereError, match="needs the label of each vector"):
        whiten(first, vectors, 4, kind="learned")
    made = whiten(first, vectors, 4, kind="learned", labels=["a", "b", "c"] * 4)
    assert made.provenance["whitening"] == {
        "kind": "learned",
        "vectors": 12,
        "shrinkage": 0.0,
        "pairs": 36,
        "seed": 0,
    }
    with pytest.raises(PerisphereError, match="vectors of 4 numbers"):
        whiten(first, vectors[:, :4])
