import math

import pytest

from perisphere.training.schedules import Constant, Cosine, MultiStep, Step


def test_step_and_milestones_fall_where_they_say():
    step = Step(name="step", every=30, gamma=0.1)
    assert [step.factor(epoch, 100) for epoch in (0, 29.99, 30, 59, 60)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01]
    )
    several = MultiStep(name="multistep", milestones=(5, 2), gamma=0.5)
    assert [several.factor(epoch, 9) for epoch in (1, 2, 4.9, 5)] == [1, 0.5, 0.5, 0.25]


def test_cosine_goes_from_one_to_its_floor():
    cosine = Cosine(name="cosine", floor=0.1)
    assert cosine.factor(0, 10) == 1
    assert cosine.factor(5, 10) == pytest.approx(0.55)
    assert cosine.factor(10, 10) == pytest.approx(0.1)


def test_warm_up_rises_linearly_and_hands_over_without_a_jump():
    warm = Cosine(name="cosine", warmup=2, warmup_start=0.1)
    assert warm.factor(0, 10) == pytest.approx(0.1)
    assert warm.factor(1, 10) == pytest.approx(0.55)
    assert warm.factor(2 - 1e-9, 10) == pytest.approx(warm.factor(2, 10))
    assert warm.factor(2, 10) == 1


def test_per_epoch_holds_still_within_an_epoch():
    held = Cosine(name="cosine", per="epoch")
    assert held.factor(3.9, 10) == held.factor(3, 10) == 0.5 * (1 + math.cos(math.pi * 0.3))
    assert Constant(per="epoch", warmup=3, warmup_start=0.0).factor(1.5, 10) == pytest.approx(1 / 3)
