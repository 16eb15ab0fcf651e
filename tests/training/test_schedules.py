import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from perisphere.training.rates import Rates
from perisphere.training.schedules import (
    Clr,
    Constant,
    Cosine,
    MultiStep,
    Piecewise,
    Plateau,
    ResNetSchedule,
    Schedule,
    Sgdr,
    Step,
    usual_length,
)

LR = 0.1


def rates(schedule, epochs, lr=LR):
    """Learning rate of the first step of each epoch."""
    return [lr * schedule.factor(epoch, epochs, lr) for epoch in range(epochs)]


def test_step_and_milestones_fall_where_they_say():
    step = Step(name="step", every=30, gamma=0.1)
    assert [step.factor(epoch, 100, LR) for epoch in (0, 29.99, 30, 59, 60)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01]
    )
    several = MultiStep(name="multistep", milestones=(5, 2), gamma=0.5)
    assert [several.factor(epoch, 9, LR) for epoch in (1, 2, 4.9, 5)] == [1, 0.5, 0.5, 0.25]


def test_cosine_goes_from_one_to_its_floor():
    cosine = Cosine(name="cosine", floor=0.1)
    assert cosine.factor(0, 10, LR) == 1
    assert cosine.factor(5, 10, LR) == pytest.approx(0.55)
    assert cosine.factor(10, 10, LR) == pytest.approx(0.1)


def test_warm_up_rises_linearly_and_hands_over_without_a_jump():
    warm = Cosine(name="cosine", warmup=2, warmup_start=0.1)
    assert warm.factor(0, 10, LR) == pytest.approx(0.1)
    assert warm.factor(1, 10, LR) == pytest.approx(0.55)
    assert warm.factor(2 - 1e-9, 10, LR) == pytest.approx(warm.factor(2, 10, LR))
    assert warm.factor(2, 10, LR) == 1


def test_per_epoch_holds_still_within_an_epoch():
    held = Cosine(name="cosine", per="epoch")
    assert held.factor(3.9, 10, LR) == held.factor(3, 10, LR) == 0.5 * (1 + math.cos(math.pi * 0.3))
    assert Constant(per="epoch", warmup=3, warmup_start=0.0).factor(1.5, 10, LR) == pytest.approx(1 / 3)


def test_sgdr_has_the_published_cycles():
    sgdr = Sgdr(name="sgdr")
    assert sgdr.length == 372
    every = rates(sgdr, 372)
    assert [epoch for epoch, rate in enumerate(every) if rate == LR] == [0, 12, 36, 84, 180]
    # By hand: after epoch i, 1e-6 + (0.1 - 1e-6) / 2 * (1 + cos(pi * (i + 1) / L)).
    assert every[1] == pytest.approx(1e-6 + 0.0999990 / 2 * (1 + math.cos(math.pi / 6)), rel=1e-12)
    assert every[5] == pytest.approx(0.0500005, rel=1e-6)
    for last in (11, 35, 83, 179, 371):
        assert every[last] == pytest.approx(1e-6)
    assert sgdr.factor(5.99, 372, LR) == sgdr.factor(5, 372, LR)
    assert rates(Sgdr(name="sgdr", base=80), 80, 0.5)[0] == 0.5


@given(st.integers(1, 20), st.integers(1, 3), st.floats(1e-4, 2))
def test_sgdr_falls_within_every_cycle_and_ends_its_length_with_one(base, multiplier, lr):
    sgdr = Sgdr(name="sgdr", base=base, multiplier=multiplier)
    every = rates(sgdr, sgdr.length, lr)
    starts = [epoch for epoch in range(len(every)) if epoch == 0 or every[epoch] > every[epoch - 1]]
    if base > 1:  # a cycle of one epoch has the full rate throughout
        assert len(starts) == 5
        assert all(every[start] == lr for start in starts)
    assert 1e-6 * (1 - 1e-9) <= min(every) <= max(every) <= lr


def test_clr_is_a_triangle_of_steps():
    clr = Clr(name="clr")
    assert clr.length == 240
    found = [LR * clr.factor(epoch, 240, LR) for epoch in (0, 6, 12, 18, 24, 30)]
    middle = (1e-5 + 0.1) / 2
    assert found == pytest.approx([1e-5, middle, 0.1, middle, 1e-5, middle])


def test_the_resnet_schedule_is_the_published_one():
    schedule = ResNetSchedule(name="resnet")
    every = rates(schedule, 164)
    assert schedule.length == 164
    assert every == pytest.approx([0.01] + [0.1] * 79 + [0.01] * 40 + [0.001] * 44)


def test_points_are_rates_from_an_epoch_on():
    listed = Piecewise(name="piecewise", points="31:0.01, 1:0.1,41:0.001,50")
    assert listed.length == 50
    assert rates(listed, 50, 0.7) == pytest.approx([0.1] * 30 + [0.01] * 10 + [0.001] * 10)
    late = Piecewise(name="piecewise", points="3:0.5")
    assert late.length == 3
    assert rates(late, 4) == pytest.approx([0.1, 0.1, 0.5, 0.5])


@pytest.mark.parametrize(
    "points", ["", "50", "1=0.1", "0:0.1", "1:0", "1:inf", "1:x", "1:0.1,1:0.2", "9:0.1,5", "1:0.1,2,3"]
)
def test_points_that_cannot_be_read(points):
    with pytest.raises(ValidationError, match="points"):
        Piecewise(name="piecewise", points=points)


def test_max_decay_divides_every_schedule_down_to_its_share():
    falling = Constant(max_decay=0.1)
    # decay = (1 / 0.1 - 1) / iterations; after half of them 1 / (1 + 9 / 2).
    assert [falling.factor(epoch, 100, LR) for epoch in (0, 50, 100)] == pytest.approx([1, 1 / 5.5, 0.1])
    both = Sgdr(name="sgdr", max_decay=0.1)
    plain = Sgdr(name="sgdr")
    ratio = both.factor(180.5, 372, LR) / plain.factor(180.5, 372, LR)
    assert ratio == pytest.approx(1 / (1 + 9 * 180.5 / 372))


def test_a_plateau_lowers_the_rate_after_epochs_without_a_lower_loss():
    watch = Rates(Plateau(name="plateau", patience=2), LR, epochs=200)
    seen = []
    for loss in (1.0, 0.5, 0.49995, 0.6, 0.6, 0.6, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4):
        watch.observe(loss)
        seen.append(watch.rate(7))
    # 0.49995 is no more than the threshold of 1e-4 below 0.5; at 1e-4 the rate stays.
    expected = [0.1] * 3 + [0.01] * 2 + [0.001] * 3 + [1e-4] * 7
    assert seen == pytest.approx(expected[:8] + [1e-4] * 7, rel=1e-9)
    again = Rates(Plateau(name="plateau", patience=2), LR, epochs=200)
    again.load_state_dict(watch.state_dict())
    assert again.rate(7) == watch.rate(7)


def test_a_rate_below_the_least_of_a_plateau_stays():
    watch = Rates(Plateau(name="plateau", patience=1, min_lr=0.5), LR, epochs=9)
    for _ in range(4):
        watch.observe(1.0)
    assert watch.rate(0) == LR


def test_first_epochs_have_their_own_rate_and_the_schedule_begins_after_them():
    watch = Rates(Sgdr(name="sgdr"), 0.5, epochs=180, first=8, first_lr=0.1)
    assert [watch.rate(epoch) for epoch in (0, 7.9, 8, 9, 20)] == pytest.approx(
        [0.1, 0.1, 0.5, 0.5 * Sgdr(name="sgdr").factor(1, 180, 0.5), 0.5]
    )
    assert Rates(Constant(), 0.5, epochs=1, first=2).rate(0) == 0.5


@pytest.mark.parametrize(
    ("tree", "length"),
    [
        ({"name": "sgdr"}, 372),
        ({"name": "sgdr", "base": 80, "multiplier": 1}, 400),
        ({"name": "clr", "half_cycle": 3}, 60),
        ({"name": "plateau"}, 200),
        ({"name": "resnet"}, 164),
        ({"name": "cosine"}, None),
        ({"name": "sgdr", "base": 0}, None),
        (None, None),
    ],
)
def test_schedules_that_know_how_long_they_are(tree, length):
    assert usual_length(tree) == length


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        ({"name": "sgdr", "base": 0}, "base"),
        ({"name": "sgdr", "multiplier": 0}, "multiplier"),
        ({"name": "sgdr", "per": "step"}, "per"),
        ({"name": "clr", "half_cycle": 0}, "half_cycle"),
        ({"name": "plateau", "patience": 0}, "patience"),
        ({"name": "plateau", "gamma": 1}, "gamma"),
        ({"name": "constant", "max_decay": 0}, "max_decay"),
        ({"name": "resnet", "max_decay": 2}, "max_decay"),
    ],
)
def test_an_invalid_value_is_refused_by_name(tree, key):
    with pytest.raises(ValidationError, match=key):
        TypeAdapter(Schedule).validate_python(tree)


def test_the_warm_up_of_re_identification_is_a_tenth_more_in_each_of_ten_epochs():
    schedule = MultiStep(name="multistep", milestones=(40, 70), warmup=9, warmup_start=0.1, per="epoch")
    rates = [schedule.factor(epoch + 0.7, 120, LR) for epoch in range(120)]
    assert rates[:10] == pytest.approx([(epoch + 1) / 10 for epoch in range(10)])
    assert rates[10:40] == [1.0] * 30
    assert rates[40:70] == pytest.approx([0.1] * 30)
    assert rates[70:] == pytest.approx([0.01] * 50)
