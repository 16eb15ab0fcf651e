import json

import pytest
import torch

from perisphere.nets import NetSpec, build
from perisphere.nets.pooling import Pool, gem, mac, regional, regions, spoc, unit


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden" / "landmarks.json").read_text())["cases"]


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def close(found, expected):
    torch.testing.assert_close(found, double(expected), atol=1e-8, rtol=0)


def test_regions_are_those_of_the_reference(golden):
    for case in golden["regions"]:
        size = case["inputs"]
        found = regions(size["height"], size["width"], size["levels"])
        assert [list(region) for region in found] == case["outputs"]["regions_y0_y1_x0_x1_in_order"]


def test_pooled_vectors_are_those_of_the_reference(golden):
    for case in golden["pooling"]:
        features = double(case["inputs"]["feature_map_nchw"])
        expected = case["outputs"]
        close(mac(features), expected["mac"])
        close(spoc(features), expected["spoc"])
        close(regional(features), expected["rmac_sum_before_final_l2"])
        close(unit(regional(features)), expected["rmac_l2"])
        close(unit(gem(features)), expected["gem3_l2"])
        close(unit(regional(features, gem)), expected["regional_gem3_no_whitening"])
        close(gem(features, double(case["inputs"]["per_channel_p"])), expected["gem_per_channel"])
        for p, vectors in expected["gem"].items():
            close(gem(features, float(p)), vectors)


def test_projected_regions_are_those_of_the_reference(golden):
    for case in golden["pooling"]:
        features = double(case["inputs"]["feature_map_nchw"])
        pool = Pool("mac", channels=features.shape[1], regions=True, projected=True).double()
        state = {
            "projection.weight": double(case["inputs"]["regional_whitening_weight"]),
            "projection.bias": double(case["inputs"]["regional_whitening_bias"]),
        }
        pool.load_state_dict(state)
        summed = regional(features, mac, project=pool.projection)
        close(unit(summed), case["outputs"]["regional_mac_whitened"])
        torch.testing.assert_close(pool.float()(features.float()), summed.float())


def test_an_exponent_for_each_channel_is_that_of_the_reference(golden):
    for case in golden["pooling"]:
        features = double(case["inputs"]["feature_map_nchw"]).float()
        pool = Pool("gemmp", channels=features.shape[1])
        pool.load_state_dict({"p": double(case["inputs"]["per_channel_p"])})
        expected = double(case["outputs"]["gem_per_channel"]).float()
        torch.testing.assert_close(pool(features), expected)


def test_the_gradient_of_the_exponent_is_that_of_the_reference(golden):
    for case in golden["pooling"]:
        p = double([3.0]).requires_grad_()
        gem(double(case["inputs"]["feature_map_nchw"]), p).sum().backward()
        assert p.grad.item() == pytest.approx(case["outputs"]["gem3_sum_gradient_wrt_p"], abs=1e-8)


def test_regions_of_level_two_overlap_on_a_square():
    assert regions(3, 3, 2) == [
        (0, 3, 0, 3),
        (0, 3, 0, 3),
        (0, 2, 0, 2),
        (0, 2, 1, 3),
        (1, 3, 0, 2),
        (1, 3, 1, 3),
    ]


def test_a_level_without_a_side_is_left_out():
    assert regions(1, 1) == [(0, 1, 0, 1)] * 2
    assert len(regions(1, 7)) == 1 + 7  # the shorter side gives level 1 alone


@pytest.mark.parametrize(("size", "along"), [((3, 11), 5), ((9, 5), 2), ((25, 61), 3)])
def test_of_two_counts_that_fit_alike_the_smaller_is_taken(size, along):
    """By hand for 3 x 11: five squares overlap by 1/3, six by 7/15; both lie 1/15 from 2/5."""
    assert len(regions(*size, levels=1)) == 1 + along


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (7, 7), (13, 40)])
def test_regions_lie_inside_the_map_and_are_not_empty(size):
    height, width = size
    for y0, y1, x0, x1 in regions(height, width):
        assert 0 <= y0 < y1 <= height
        assert 0 <= x0 < x1 <= width


def test_gem_lies_between_mean_and_maximum():
    features = torch.rand(2, 4, 5, 5, generator=torch.Generator().manual_seed(0)) + 0.1
    assert torch.allclose(gem(features, 1.0), spoc(features), atol=1e-5)
    assert (gem(features, 3.0) > spoc(features)).all()
    assert (gem(features, 3.0) < mac(features)).all()
    assert torch.allclose(gem(features.double(), 500.0), mac(features.double()), rtol=0.01)


def test_gem_of_zeros_has_a_finite_gradient():
    features = torch.zeros(1, 2, 3, 3, requires_grad=True)
    pool = Pool("gem", 3.0, learned=True)
    pool(features).sum().backward()
    assert torch.isfinite(features.grad).all()
    assert torch.isfinite(pool.p.grad).all()


@pytest.mark.parametrize("regional_too", [False, True])
@pytest.mark.parametrize("name", ["spoc", "mac", "gem", "gemmp", "rmac"])
def test_half_precision_maps_are_pooled_in_float32(name, regional_too):
    pooled = Pool(name, channels=3, regions=regional_too)(torch.rand(2, 3, 4, 6).bfloat16())
    assert pooled.shape == (2, 3)
    assert pooled.dtype == torch.float32


def test_a_learned_exponent_is_a_parameter_and_a_fixed_one_is_not_saved():
    learned = build(NetSpec(backbone="small32", pooling="gem", gem_learned=True, gem_p=2.5), seed=0)
    fixed = build(NetSpec(backbone="small32", pooling="gem", gem_p=2.5), seed=0)
    assert learned.state_dict()["pooling.p"].item() == 2.5
    assert "pooling.p" not in fixed.state_dict()
    assert [name for name, _ in learned.stages][-1] == "pooling"
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(learned.eval()(images), fixed.eval()(images))
