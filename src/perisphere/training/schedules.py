"""Learning-rate schedules as pure functions of epoch and step; what a plateau saw is kept elsewhere."""

import math
from bisect import bisect_right
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator


class Constant(BaseModel):
    """The learning rate stays as it is (after the warm-up, if there is one)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["constant"] = "constant"
    warmup: float = Field(default=0.0, ge=0, description="epochs of linear warm-up")
    warmup_start: float = Field(default=0.1, ge=0, le=1, description="share of the rate at the first step")
    per: Literal["step", "epoch"] = Field(default="step", description="how often the rate changes")
    max_decay: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="the rate also falls as 1 / (1 + d * step), to this share at the end",
    )

    @property
    def length(self) -> int | None:
        """Epochs of a run that names none; ``None`` where the schedule fits any number."""
        return None

    def decay(self, epoch: float, epochs: int, lr: float) -> float:
        """Return the share of ``lr`` at ``epoch`` of ``epochs``, warm-up and ``max_decay`` left aside."""
        return 1.0

    def factor(self, epoch: float, epochs: int, lr: float, step: int = 0) -> float:
        """Return what the learning rate is multiplied by.

        Args:
            epoch: epochs done, as a fraction (2.5 = half-way through the third).
            epochs: epochs of the whole run.
            lr: the learning rate; schedules with a least rate of their own need it.
            step: steps done.
        """
        moment = math.floor(epoch) if self.per == "epoch" else epoch
        share = self.decay(moment, epochs, lr)
        if moment < self.warmup:
            share *= self.warmup_start + (1 - self.warmup_start) * moment / self.warmup
        if self.max_decay is not None:
            share /= 1 + (1 / self.max_decay - 1) * epoch / epochs
        return share


class Step(Constant):
    """The rate is multiplied by ``gamma`` every ``every`` epochs."""

    name: Literal["step"]  # type: ignore[assignment]
    every: int = Field(ge=1)
    gamma: float = Field(default=0.1, gt=0, le=1)

    def decay(self, epoch: float, epochs: int, lr: float) -> float:
        """See :meth:`Constant.decay`."""
        return float(self.gamma ** math.floor(epoch / self.every))


class Staircase(Constant):
    """The rate is multiplied by ``gamma`` every ``every`` steps, whatever the length of an epoch."""

    name: Literal["staircase"]  # type: ignore[assignment]
    every: int = Field(ge=1, description="steps")
    gamma: float = Field(default=0.5, gt=0, le=1)

    def factor(self, epoch: float, epochs: int, lr: float, step: int = 0) -> float:
        """See :meth:`Constant.factor`."""
        return super().factor(epoch, epochs, lr, step) * float(self.gamma ** (step // self.every))


class MultiStep(Constant):
    """The rate is multiplied by ``gamma`` at each milestone (in epochs)."""

    name: Literal["multistep"]  # type: ignore[assignment]
    milestones: tuple[int, ...] = Field(min_length=1)
    gamma: float = Field(default=0.1, gt=0, le=1)

    def decay(self, epoch: float, epochs: int, lr: float) -> float:
        """See :meth:`Constant.decay`."""
        return float(self.gamma ** bisect_right(sorted(self.milestones), epoch))


class Cosine(Constant):
    """Half a cosine from 1 after the warm-up down to ``floor`` at the end (Loshchilov and Hutter, 2017)."""

    name: Literal["cosine"]  # type: ignore[assignment]
    floor: float = Field(default=0.0, ge=0, le=1)

    def decay(self, epoch: float, epochs: int, lr: float) -> float:
        """See :meth:`Constant.decay`."""
        done = (epoch - self.warmup) / max(epochs - self.warmup, 1e-9)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))


class Sgdr(Constant):
    """Cosine annealing with warm restarts, one rate an epoch (Loshchilov and Hutter, 2017).

    The first epoch of a cycle has the full rate; epoch i + 1 of L has
    ``min_lr + (lr - min_lr) / 2 * (1 + cos(pi * (i + 1) / L))``, as in Barz and Denzler's program, so that
    the last one has ``min_lr``.
    """

    name: Literal["sgdr"]  # type: ignore[assignment]
    base: int = Field(default=12, ge=1, description="epochs of the first cycle")
    multiplier: int = Field(default=2, ge=1, description="each cycle is so many times as long as the last")
    min_lr: float = Field(default=1e-6, ge=0)
    per: Literal["epoch"] = "epoch"

    @property
    def length(self) -> int:
        """Five cycles."""
        return sum(self.base * self.multiplier**cycle for cycle in range(5))

    def decay(self, epoch: float, epochs: int, lr: float) -> float:
        """See :meth:`Constant.decay`."""
        place, cycle = int(epoch), self.base
        while place >= cycle:
            place, cycle = place - cycle, cycle * self.multiplier
        if place == 0:
            return 1.0
        low = self.min_lr / lr
        return low + (1 - low) / 2 * (1 + math.cos(math.pi * (place + 1) / cycle))


class Clr(Constant):
    """The rate rises and falls linearly between ``min_lr`` and the full rate (triangular; Smith, 2017)."""

    name: Literal["clr"]  # type: ignore[assignment]
    half_cycle: int = Field(default=12, ge=1, description="epochs from the least to the full rate")
    min_lr: float = Field(default=1e-5, ge=0)

    @property
    def length(self) -> int:
        """Ten cycles."""
        return 20 * self.half_cycle

    def decay(self, epoch: float, epochs: int, lr: float) -> float:
        """See :meth:`Constant.decay`."""
        low = self.min_lr / lr
        return low + (1 - low) * (1 - abs(epoch / self.half_cycle % 2 - 1))


class ResNetSchedule(Constant):
    """He et al.'s (2016) for CIFAR: a tenth of the rate in epoch 1, and a tenth each from 81 and 121."""

    name: Literal["resnet"]  # type: ignore[assignment]
    per: Literal["epoch"] = "epoch"

    @property
    def length(self) -> int:
        """As published."""
        return 164

    def decay(self, epoch: float, epochs: int, lr: float) -> float:
        """See :meth:`Constant.decay`."""
        return 0.1 if epoch < 1 else float(0.1 ** bisect_right((80, 120), epoch))


class Piecewise(Constant):
    """The rates of ``points``, ``EPOCH:RATE,...[,LAST_EPOCH]``, e.g. ``1:0.1,31:0.01,41:0.001,50``.

    Epochs count from 1. Before the first point the rate is the optimiser's.
    """

    name: Literal["piecewise"]  # type: ignore[assignment]
    points: str
    per: Literal["epoch"] = "epoch"

    @field_validator("points")
    @classmethod
    def _readable(cls, text: str) -> str:
        _points(text)
        return text

    @property
    def length(self) -> int:
        """The last epoch that is named."""
        rates, last = _points(self.points)
        return last or max(rates)

    def decay(self, epoch: float, epochs: int, lr: float) -> float:
        """See :meth:`Constant.decay`."""
        rates, _ = _points(self.points)
        begun = [start for start in rates if start <= epoch + 1]
        return rates[max(begun)] / lr if begun else 1.0


def _points(text: str) -> tuple[dict[int, float], int | None]:
    """Return the rate from each epoch on, and the last epoch where it is named."""
    *pairs, end = [point.strip() for point in text.split(",")]
    if ":" in end:
        pairs, end = [*pairs, end], ""
    try:
        rates = {int(epoch): float(rate) for epoch, rate in (pair.split(":") for pair in pairs)}
        last = int(end) if end else None
    except ValueError:
        raise ValueError(
            f"{text!r} is not EPOCH:RATE,...[,LAST_EPOCH], e.g. 1:0.1,31:0.01,41:0.001,50"
        ) from None
    if (
        not rates
        or min(rates) < 1
        or len(rates) < len(pairs)
        or not all(0 < r < math.inf for r in rates.values())
    ):
        raise ValueError(f"{text!r}: every epoch is 1 or more and named once, and every rate above 0")
    if last is not None and last < max(rates):
        raise ValueError(f"{text!r}: the last epoch, {last}, comes before the rate of epoch {max(rates)}")
    return rates, last


class Plateau(Constant):
    """The rate is multiplied by ``gamma`` once the validation loss has not fallen for ``patience`` epochs.

    It falls where it is lower than the least so far by more than ``threshold``. What was seen is kept by
    :class:`~perisphere.training.rates.Rates`.
    """

    name: Literal["plateau"]  # type: ignore[assignment]
    patience: int = Field(default=10, ge=1)
    gamma: float = Field(default=0.1, gt=0, lt=1)
    min_lr: float = Field(default=1e-4, ge=0)
    threshold: float = Field(default=1e-4, ge=0)

    @property
    def length(self) -> int:
        """As published."""
        return 200


Schedule = Annotated[
    Constant | Step | Staircase | MultiStep | Cosine | Sgdr | Clr | ResNetSchedule | Piecewise | Plateau,
    Field(discriminator="name"),
]


def usual_length(tree: Any) -> int | None:
    """Return the length of a schedule given as plain values, where it is valid and has one."""
    try:
        schedule: Constant = TypeAdapter(Schedule).validate_python(tree)
    except ValidationError:
        return None
    return schedule.length
