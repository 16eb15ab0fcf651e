"""The devices of a run: one process each, started here or by ``torchrun``."""

import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perisphere.errors import PerisphereError, UsageError
from perisphere.training.recipe import Recipe

REPORTS = "PERISPHERE_REPORTS"
"""Environment variable: the folder in which a process that fails leaves what it has to say."""

MASTER_PORT = 29500
"""Of machine 0 where none is named, as ``torchrun`` has it."""


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

            class Launched(LightningEnvironment):
                """Leaves this process its place, since another run may follow in it."""

                def teardown(self) -> None:
                    pass

            options["strategy"] = DDPStrategy(cluster_environment=Launched())
        return options


@dataclass(frozen=True)
class Nodes:
    """The machines of a run, each of which is told the same but for its own rank.

    Attributes:
        count: how many there are.
        rank: of this one, from 0.
        master: host name or address of machine 0.
        port: at which machine 0 is asked; ``None`` takes a free one, for a machine that is alone.
    """

    count: int = 1
    rank: int = 0
    master: str = "127.0.0.1"
    port: int | None = None

    @classmethod
    def of(cls, count: int, rank: int | None, master: str | None) -> "Nodes":
        """Return the machines that a user names.

        Args:
            count: how many.
            rank: of this one.
            master: ``HOST`` or ``HOST:PORT`` of machine 0.

        Raises:
            UsageError: they do not go together.
        """
        if count == 1:
            if rank is not None or master:
                raise UsageError(
                    "--node-rank and --master are for several machines: say how many by --nodes."
                )
            return ALONE
        if rank is None or not 0 <= rank < count:
            raise UsageError(
                f"--nodes {count}: say which of them this machine is by --node-rank, 0 to {count - 1}."
            )
        if not master:
            raise UsageError(
                f"--nodes {count}: name machine 0 by --master HOST:PORT, the same on all of them."
            )
        host, colon, port = master.rpartition(":")
        if not colon:
            return cls(count, rank, master, MASTER_PORT)
        bare = ":" in host and not (host.startswith("[") and host.endswith("]"))
        if not host or bare or not port.isdecimal() or not 0 < int(port) < 65536:
            raise UsageError(
                f"--master {master}: give HOST:PORT, a port of 1 to 65535; an IPv6 address as [HOST]:PORT."
            )
        return cls(count, rank, host.strip("[]"), int(port))


ALONE = Nodes()
"""This machine by itself."""


def place_from_environment(recipe: Recipe, environment: Mapping[str, str] = os.environ) -> Place | None:
    """Return this process's place where a launcher has set one (``torchrun``, or :func:`launch`)."""
    if "LOCAL_RANK" not in environment:
        return None
    world = int(environment.get("WORLD_SIZE", "1"))
    if problem := recipe.unshared(world):
        raise PerisphereError(f"{problem}.")
    local = int(environment.get("LOCAL_WORLD_SIZE", str(world)))
    return Place(recipe.accelerator, int(environment.get("RANK", environment["LOCAL_RANK"])), world, local)


def check_devices(recipe: Recipe, place: Place | None = None) -> None:
    """Refuse devices that this machine has not, before anything is written.

    Raises:
        UsageError: a GPU is asked for where there is none, or more of them than there are.
    """
    if recipe.accelerator == "cpu":
        return
    import torch

    gpus = torch.cuda.device_count() or int(torch.backends.mps.is_available())
    if recipe.accelerator == "gpu" and not gpus:
        raise UsageError(
            "accelerator=gpu: this machine has no GPU that PyTorch can use; take accelerator=auto or cpu."
        )
    wanted = place.local_world if place else recipe.devices
    if gpus and wanted > gpus:
        raise UsageError(
            f"devices={wanted}: this machine has {gpus} GPU{'s' * (gpus != 1)}; "
            f"take devices={gpus}, or accelerator=cpu."
        )


def launch(command: list[str], devices: int, nodes: Nodes = ALONE) -> None:
    """Run ``command`` once for each device on this machine, each with its place in the environment.

    Args:
        command: program and words.
        devices: of each machine.
        nodes: the machines.

    Raises:
        PerisphereError: one failed, and this is what it said; the others are stopped.
        UsageError: the same, where its words were wrong.
    """
    with tempfile.TemporaryDirectory(prefix="perisphere-") as reports:
        _launch(command, devices, nodes, Path(reports))


def _launch(command: list[str], devices: int, nodes: Nodes, reports: Path) -> None:
    common = {
        "MASTER_ADDR": nodes.master,
        "MASTER_PORT": str(nodes.port or _free_port()),
        "WORLD_SIZE": str(nodes.count * devices),
        "LOCAL_WORLD_SIZE": str(devices),
        "NODE_RANK": str(nodes.rank),
        REPORTS: str(reports),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // devices)),
    }
    workers = []
    for local in range(devices):
        own = {"RANK": str(nodes.rank * devices + local), "LOCAL_RANK": str(local)}
        workers.append(subprocess.Popen(command, env={**os.environ, **common, **own}))
    try:
        _wait(workers, reports)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in workers:
            worker.wait()


def _wait(workers: list[subprocess.Popen[bytes]], reports: Path) -> None:
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
                raise _failure(workers, worker, reports)


def report_failure(error: Exception) -> None:
    """Leave what a process of a run has to say where the one that started it looks."""
    mendable = isinstance(error, PerisphereError)
    facts = {
        "mendable": mendable,
        "usage": isinstance(error, UsageError),
        "message": str(error) if mendable else f"{type(error).__name__}: {error}",
    }
    (Path(os.environ[REPORTS]) / os.environ["LOCAL_RANK"]).write_text(json.dumps(facts))


def _failure(
    workers: list[subprocess.Popen[bytes]], first: subprocess.Popen[bytes], reports: Path
) -> PerisphereError:
    """Return the error that began it: where one process ends, the others break off their talk with it."""
    found = {int(path.name): json.loads(path.read_text()) for path in reports.iterdir()}
    for facts in found.values():
        if facts["mendable"]:
            return (UsageError if facts["usage"] else PerisphereError)(facts["message"])
    killed = (worker for worker in workers if (worker.poll() or 0) < 0)
    guilty = next(killed, first)
    rank = workers.index(guilty)
    said = f" ({found[rank]['message']})" if rank in found else ""
    return PerisphereError(
        f"training process {rank} of {len(workers)} ended with code {guilty.returncode}{said}; "
        "--debug shows more. Go on with --resume once that is mended."
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
