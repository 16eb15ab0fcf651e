"""Learning-rate schedules as pure functions of the epoch: nothing to store, nothing to restore."""

import math
from bisect import bisect_right
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Constant(BaseModel):
    """The learning rate stays as it is (after the warm-up, if there is one)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["constant"] = "constant"
    warmup: float = Field(default=0.0, ge=0, description="epochs of linear warm-up")
    warmup_start: float = Field(default=0.1, ge=0, le=1, description="share of the rate at the first step")
    per: Literal["step", "epoch"] = Field(default="step", description="how often the rate changes")

    def decay(self, epoch: float, epochs: int) -> float:
        """Return the share of the rate at ``epoch`` of ``epochs``, the warm-up left aside."""
        return 1.0

    def factor(self, epoch: float, epochs: int) -> float:
        """Return what the learning rate is multiplied by.

        Args:
            epoch: epochs done, as a fraction (2.5 = half-way through the third).
            epochs: epochs of the whole run.
        """
        moment = math.floor(epoch) if self.per == "epoch" else epoch
        share = self.decay(moment, epochs)
        if moment < self.warmup:
            share *= self.warmup_start + (1 - self.warmup_start) * moment / self.warmup
        return share


class Step(Constant):
    """The rate is multiplied by ``gamma`` every ``every`` epochs."""

    name: Literal["step"]  # type: ignore[assignment]
    every: int = Field(ge=1)
    gamma: float = Field(default=0.1, gt=0, le=1)

    def decay(self, epoch: float, epochs: int) -> float:
        """See :meth:`Constant.decay`."""
        return float(self.gamma ** math.floor(epoch / self.every))


class MultiStep(Constant):
    """The rate is multiplied by ``gamma`` at each milestone (in epochs)."""

    name: Literal["multistep"]  # type: ignore[assignment]
    milestones: tuple[int, ...] = Field(min_length=1)
    gamma: float = Field(default=0.1, gt=0, le=1)

    def decay(self, epoch: float, epochs: int) -> float:
        """See :meth:`Constant.decay`."""
        return float(self.gamma ** bisect_right(sorted(self.milestones), epoch))


class Cosine(Constant):
    """Half a cosine from 1 after the warm-up down to ``floor`` at the end (Loshchilov and Hutter, 2017)."""

    name: Literal["cosine"]  # type: ignore[assignment]
    floor: float = Field(default=0.0, ge=0, le=1)

    def decay(self, epoch: float, epochs: int) -> float:
        """See :meth:`Constant.decay`."""
        done = (epoch - self.warmup) / max(epochs - self.warmup, 1e-9)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))


Schedule = Annotated[Constant | Step | MultiStep | Cosine, Field(discriminator="name")]
