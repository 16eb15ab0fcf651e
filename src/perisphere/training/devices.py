"""The devices of a run: one process each, started here or by ``torchrun``."""

import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perisphere.errors import PerisphereError
from perisphere.training.recipe import Recipe


@dataclass(frozen=True)
class Place:
    """What one process is among the devices of a run.

    Attributes:
        accelerator: Lightning's name.
        rank: of this process, from 0.
        world: number of processes.
        local_world: number of processes on this machine.
    """

    accelerator: str = "auto"
    rank: int = 0
    world: int = 1
    local_world: int = 1

    def trainer_options(self) -> dict[str, Any]:
        """Return what Lightning's Trainer has to know, and what is the same for every run."""
        options: dict[str, Any] = {
            "accelerator": self.accelerator,
            "devices": self.local_world,
            "num_nodes": self.world // self.local_world,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "use_distributed_sampler": False,
            "benchmark": False,
        }
        if self.world > 1:
            from lightning.pytorch.plugins.environments import LightningEnvironment
            from lightning.pytorch.strategies import DDPStrategy

            options["strategy"] = DDPStrategy(cluster_environment=LightningEnvironment())
        return options


def place_from_environment(recipe: Recipe, environment: Mapping[str, str] = os.environ) -> Place | None:
    """Return this process's place where a launcher has set one (``torchrun``, or :func:`launch`)."""
    if "LOCAL_RANK" not in environment:
        return None
    world = int(environment.get("WORLD_SIZE", "1"))
    if recipe.batch_size % world:
        raise PerisphereError(
            f"batch_size {recipe.batch_size} cannot be shared by {world} processes: "
            f"make it a multiple of {world}."
        )
    local = int(environment.get("LOCAL_WORLD_SIZE", str(world)))
    return Place(recipe.accelerator, int(environment.get("RANK", environment["LOCAL_RANK"])), world, local)


def launch(command: list[str], devices: int) -> None:
    """Run ``command`` once for each device on this machine, each with its place in the environment.

    Raises:
        PerisphereError: one failed; the others are stopped.
    """
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(devices),
        "LOCAL_WORLD_SIZE": str(devices),
        "NODE_RANK": "0",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // devices)),
    }
    workers = [
        subprocess.Popen(command, env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(devices)
    ]
    try:
        _wait(workers)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in workers:
            worker.wait()


def _wait(workers: list[subprocess.Popen[bytes]]) -> None:
    """Wait until all are done or one has failed."""
    left = list(workers)
    while left:
        for worker in list(left):
            try:
                code = worker.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            left.remove(worker)
            if code:
                raise PerisphereError(
                    f"training process {workers.index(worker)} of {len(workers)} ended with code {code}; "
                    "its message is above. Go on with --resume once that is mended."
                )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
