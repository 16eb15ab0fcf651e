"""Batch embedding on the machines of a Ray cluster, block by block, into the journal of this machine.

Each block of photos is a task of Ray Data; an actor holds the encoder and answers many of them. Answers come
back in the order of the photos and go into the same journal as without Ray, so that a run goes on where it
was, here or there. What a machine that fails had under way, Ray gives to another.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from perisphere.encoder.embedding_loop import Meter, Photos, embed_batch, facts, unit_rows
from perisphere.encoder.encoder import Encoder
from perisphere.encoder.inference import Inference, Precision
from perisphere.encoder.journal import Journal
from perisphere.encoder.loading import batches, cores
from perisphere.errors import PerisphereError, UsageError
from perisphere.progress import bar

MOST_BATCHES = 16
"""In a block: enough to make the way to an actor and back cheap, few enough to lose little with a machine."""

MOST_BLOCKS = 10_000
LOCAL_STORE = 512 << 20
"""Bytes of memory in which answers wait, where the cluster is this machine alone."""

Answer = Mapping[str, Any]
"""What one block came to: ``start``, ``stop``, ``features`` (bytes), ``skipped`` (JSON) and who did it."""


@dataclass(frozen=True)
class Share:
    """What one actor takes of its machine, and how many actors there can be."""

    cpus: float
    gpus: float
    actors: int


@dataclass
class Work:
    """What the machines did, for the report.

    Attributes:
        photos: how many each node embedded.
        devices: that they were embedded on.
        busy: seconds that all actors worked.
    """

    photos: Counter[str] = field(default_factory=Counter)
    devices: set[str] = field(default_factory=set)
    busy: float = 0.0


class Cluster:
    """The machines of a Ray cluster.

    Args:
        address: ``auto`` (the cluster of this machine), ``local`` (a new one, of this machine alone), or
            ``HOST:PORT``.
        encoder: is sent to each actor.
        batch_size: images through the network at once.
        workers: decoding threads, and cores, of an actor; 0: those of the smallest machine.
        device: see :meth:`Encoder.inference`.
        precision: ``auto`` is float32, so that all machines compute alike.

    Raises:
        UsageError: an address of Ray's client, through which Ray Data does not work.
    """

    def __init__(
        self,
        address: str,
        encoder: Encoder,
        batch_size: int,
        workers: int,
        device: str | torch.device | None,
        precision: Precision,
    ) -> None:
        if address.startswith("ray://"):
            raise UsageError(
                f"--ray {address}: Ray Data does not work through Ray's client. Run this on a machine of the "
                "cluster with --ray auto, or hand it in there: `ray job submit -- perisphere embed ...`."
            )
        exact: Precision = "float32" if precision == "auto" else precision
        self.address, self.encoder = address, encoder
        self.precision = f"torch.{'int8' if encoder.int8 else exact}"
        self.batch_size, self.workers, self.runtime = batch_size, workers, encoder.runtime
        device = None if device is None else str(device)
        self.on_gpu = self.runtime == "torch" and device != "cpu"
        self.how = {"device": device, "precision": exact, "runtime": encoder.runtime}

    def embed_rest(self, photos: Photos, journal: Journal, meter: Meter) -> dict[str, Any]:
        """Embed what the journal has not yet, and return how.

        Args:
            photos: their paths must mean the same files on every machine.
            journal: takes the blocks.
            meter: counts.

        Raises:
            PerisphereError: ray is not installed, the cluster does not answer, a machine does not see the
                photos, or the network gives NaN.
        """
        work, begun = Work(), time.perf_counter()
        with connected(self.address), bar("embedding", len(photos.paths)) as advance:
            advance(journal.done)
            for answer in self._answers(photos, journal.done):
                if answer["error"]:
                    raise PerisphereError(answer["error"])
                _take(answer, photos, journal, meter, self.encoder.dim)
                count = answer["stop"] - answer["start"]
                work.photos[answer["node"]] += count
                work.devices.add(answer["device"])
                work.busy += answer["busy"]
                advance(count)
        meter.total = time.perf_counter() - begun
        return {
            "runtime": self.runtime,
            **facts(", ".join(sorted(work.devices)), self.precision, meter, self.batch_size),
            "network_share": round(meter.network / work.busy, 4) if work.busy else None,
            "ray": {"address": self.address, "nodes": dict(work.photos)},
        }

    def _answers(self, photos: Photos, start: int) -> Iterator[Answer]:
        """Yield what each block came to, in the order of the photos."""
        import ray

        share = _share(ray.nodes(), self.workers, self.on_gpu)
        blocks = _blocks(photos, start, self.batch_size, share.actors)
        if not blocks:
            return
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_options.preserve_order = True
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        of_an_actor = (ray.put(_files(self.encoder)), self.how, self.batch_size, int(share.cpus))
        embedded = ray.data.from_items(blocks, override_num_blocks=len(blocks)).map_batches(
            Embedder,
            batch_size=1,
            num_cpus=share.cpus,
            num_gpus=share.gpus or None,
            compute=ray.data.ActorPoolStrategy(size=share.actors),
            fn_constructor_args=of_an_actor,
        )
        try:
            yield from embedded.iter_rows()
        except ray.exceptions.RayError as error:
            raise _failure(error) from error


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a Ray cluster for as long as the block lasts; one that is connected already stays so.

    Raises:
        PerisphereError: ray is not installed, or no cluster answers at the address.
    """
    # Nothing is to be told to anybody else, and nothing but our own words belongs on the screen.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError:
        raise PerisphereError(
            "--ray needs Ray, which is not installed: pip install 'perisphere[ray]'."
        ) from None
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        os.environ.setdefault("RAY_worker_niceness", "0")  # else all else on this machine comes first
        quiet |= {"num_cpus": cores(), "include_dashboard": False, "object_store_memory": LOCAL_STORE}
    try:
        ray.init(address, **quiet)
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise PerisphereError(
            f"--ray {address}: no cluster answers ({reason}). Start one with `ray start --head`, or use "
            "--ray local."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


class Embedder:
    """One actor: an encoder that embeds the blocks it is given."""

    def __init__(self, files: Any, how: Mapping[str, Any], batch_size: int, workers: int) -> None:
        """Load the encoder.

        Args:
            files: reference to the encoder's files, by their path in its folder.
            how: the arguments of :meth:`Encoder.inference`.
            batch_size: images through the network at once.
            workers: decoding threads.
        """
        import ray

        self.error = ""
        try:
            self.inference = _inference(ray.get(files), how)
        except PerisphereError as error:  # an answer tells it in one line; Ray would in many
            self.error = str(error)
        self.node = str(ray.get_runtime_context().get_node_id())[:8]
        self.batch_size, self.workers = batch_size, workers

    def __call__(self, block: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Embed the one block of a batch."""
        start, paths, boxes = int(block["start"][0]), json.loads(block["paths"][0]), block["boxes"][0]
        meter, begun, error = Meter(resumed_at=0), time.perf_counter(), self.error
        try:
            if not error:
                self._embed([Path(path) for path in paths], json.loads(boxes), meter)
        except PerisphereError as found:
            error = str(found)
        features = np.concatenate(meter.waiting) if meter.waiting else np.empty(0, np.float32)
        answer = {
            "start": start,
            "stop": start + len(paths),
            "features": features.astype("<f4", copy=False).tobytes(),
            "skipped": json.dumps([(start + row, reason) for row, reason in meter.skipped]),
            "network": meter.network,
            "busy": time.perf_counter() - begun,
            "device": "" if self.error else str(self.inference.device),
            "node": self.node,
            "error": error,
        }
        return {name: [value] for name, value in answer.items()}

    def _embed(self, paths: list[Path], boxes: list[list[int] | None], meter: Meter) -> None:
        read = batches(
            paths,
            self.inference.preprocessing,
            batch_size=self.batch_size,
            workers=self.workers,
            boxes=boxes,
        )
        for batch in read:
            embed_batch(batch, self.inference, meter)


def _inference(files: Mapping[str, bytes], how: Mapping[str, Any]) -> Inference:
    with TemporaryDirectory(prefix="perisphere-") as folder:
        for name, data in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return Encoder.load(folder).inference(**how, unit=False)


def _failure(error: Exception) -> PerisphereError:
    """Return in one line what Ray says in many: the last of them is the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1].rstrip(".") if lines else type(error).__name__
    return PerisphereError(
        f"--ray: a machine failed ({reason}). All of them need the same Perisphere and Ray; run the command "
        "again once that is mended: it goes on from here."
    )


def _share(nodes: list[dict[str, Any]], workers: int, on_gpu: bool) -> Share:
    """Return what an actor takes: a GPU where there are some, else the cores of the smallest machine."""
    there = [node["Resources"] for node in nodes if node["Alive"] and node["Resources"].get("CPU")]
    if not there:
        raise PerisphereError("--ray: the cluster has no machine with a core to give; add one.")
    gpus = [node for node in there if on_gpu and node.get("GPU")]
    each = min(node["CPU"] / node["GPU"] for node in gpus) if gpus else min(node["CPU"] for node in there)
    cpus = workers or max(1, int(each))
    places = ((node["CPU"] // cpus, node["GPU"] if gpus else math.inf) for node in gpus or there)
    actors = sum(int(min(place)) for place in places)
    if not actors:
        raise PerisphereError(
            f"--ray: no machine of the cluster has {cpus} cores for an actor; name fewer --workers."
        )
    return Share(cpus, 1 if gpus else 0, actors)


def _blocks(photos: Photos, start: int, batch_size: int, actors: int) -> list[dict[str, Any]]:
    """Cut the rest into blocks of whole batches, several for each actor."""
    rest = -(-(len(photos.paths) - start) // batch_size)
    count = max(1, min(MOST_BATCHES, rest // (4 * actors)), -(-rest // MOST_BLOCKS)) * batch_size
    return [
        {
            "start": first,
            "paths": json.dumps([str(path) for path in photos.paths[first : first + count]]),
            "boxes": json.dumps(photos.boxes[first : first + count]),
        }
        for first in range(start, len(photos.paths), count)
    ]


def _files(encoder: Encoder) -> dict[str, bytes]:
    with TemporaryDirectory(prefix="perisphere-") as folder:
        saved = encoder.save(Path(folder) / "encoder")
        return {str(p.relative_to(saved)): p.read_bytes() for p in sorted(saved.rglob("*")) if p.is_file()}


def _take(answer: Answer, photos: Photos, journal: Journal, meter: Meter, dim: int) -> None:
    skipped = [(row, reason) for row, reason in json.loads(answer["skipped"])]
    for row, reason in skipped:
        if reason.startswith("cannot be read") and os.access(photos.paths[row], os.R_OK):
            raise PerisphereError(
                f"{photos.paths[row]}: {reason} on node {answer['node']}, but it is here: photos must lie "
                "under the same path on every machine of the cluster."
            )
    features, lengths = unit_rows(np.frombuffer(answer["features"], "<f4").reshape(-1, dim))
    journal.append(features, done=answer["stop"], skipped=skipped, lengths=lengths)
    meter.images += answer["stop"] - answer["start"]
    meter.network += answer["network"]
