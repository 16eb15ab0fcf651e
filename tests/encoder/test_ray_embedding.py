"""A cluster of two nodes gives what one machine gives, also where one of them, or the driver, is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from perisphere.catalog import Catalog
from perisphere.catalog.readers import read
from perisphere.encoder import Embeddings, Encoder, Preprocessing, embed, ray_embedding
from perisphere.encoder.embedding_loop import Photos
from perisphere.errors import PerisphereError, UsageError
from perisphere.nets import NetSpec, build

PHOTOS = 96


@pytest.fixture(scope="module")
def pixels() -> Encoder:
    return Encoder(build(NetSpec(backbone="pixels", input_size=8)), Preprocessing(size=(8, 8)), name="pixels")


def same(one: Embeddings, other: Embeddings) -> None:
    np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-6)
    np.testing.assert_allclose(one.lengths, other.lengths, rtol=1e-5)
    assert one.rows.equals(other.rows)
    assert one.skipped == other.skipped


class OneProcess:
    """Stands for Ray where nothing but our own part of the way is looked at."""

    def __init__(self, nodes: list[dict]) -> None:
        self.nodes = lambda: nodes
        self.get = lambda reference: reference
        self.get_runtime_context = lambda: SimpleNamespace(get_node_id=lambda: "0123456789abcdef")

    def answers(self, machines: ray_embedding.Cluster, photos: Photos, start: int):
        share = ray_embedding._share(self.nodes(), machines.workers, machines.on_gpu)
        blocks = ray_embedding._blocks(photos, start, machines.batch_size, share.actors)
        files = ray_embedding._files(machines.encoder)
        actor = ray_embedding.Embedder(files, machines.how, machines.batch_size, int(share.cpus))
        for block in blocks:
            answer = actor({name: [value] for name, value in block.items()})
            yield {name: values[0] for name, values in answer.items()}


@pytest.fixture
def one_process(monkeypatch) -> OneProcess:
    stand_in = OneProcess([{"Alive": True, "Resources": {"CPU": 2}}])
    monkeypatch.setitem(sys.modules, "ray", stand_in)
    monkeypatch.setattr(ray_embedding, "connected", lambda _: nullcontext())
    monkeypatch.setattr(ray_embedding.Cluster, "_answers", lambda *words: stand_in.answers(*words))
    return stand_in


def test_blocks_and_actors_give_the_same_folder(catalog, encoder, tmp_path, one_process):
    whole = embed(catalog, encoder, tmp_path / "whole", batch_size=2, precision="float32")
    shared = embed(catalog, encoder, tmp_path / "shared", batch_size=2, ray="auto")
    same(shared, whole)
    assert shared.run["ray"] == {"address": "auto", "nodes": {"01234567": 20}}
    assert (shared.run["images"], shared.run["precision"], shared.run["device"]) == (20, "float32", "cpu")
    assert 0 < shared.run["network_share"] <= 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_run_goes_on_with_or_without_ray(catalog, encoder, tmp_path, one_process, monkeypatch):
    whole = embed(catalog, encoder, tmp_path / "whole", batch_size=2, precision="float32")
    take, taken = ray_embedding._take, []

    def once(*words):
        if len(taken) == 3:
            raise KeyboardInterrupt
        taken.append(take(*words))

    with monkeypatch.context() as context:
        context.setattr(ray_embedding, "_take", once)
        with pytest.raises(KeyboardInterrupt):
            embed(catalog, encoder, tmp_path / "out", batch_size=2, ray="auto")
    resumed = embed(catalog, encoder, tmp_path / "out", batch_size=2, precision="float32")
    assert resumed.run["resumed_at"] == 12  # three blocks of two batches
    same(resumed, whole)


def test_what_goes_wrong_in_an_actor_is_told_in_one_line(
    catalog, encoder, tmp_path, one_process, monkeypatch
):
    def refuse(*_):
        raise PerisphereError("the network gives NaN or infinity.")

    with monkeypatch.context() as context:
        context.setattr(ray_embedding.Embedder, "_embed", refuse)
        with pytest.raises(PerisphereError, match=r"^the network gives NaN"):
            embed(catalog, encoder, tmp_path / "out", ray="auto")
    with pytest.raises(PerisphereError, match="device 'cuda:99'"):
        embed(catalog, encoder, tmp_path / "out", ray="auto", device="cuda:99")
    assert not (tmp_path / "out").exists()


def test_a_machine_that_does_not_see_the_photos_is_told_and_no_photo_is_skipped(
    catalog, encoder, tmp_path, one_process, monkeypatch
):
    def elsewhere(actor, paths, boxes, meter):
        whole(actor, [Path("/nowhere") / path.name for path in paths], boxes, meter)

    whole = ray_embedding.Embedder._embed
    monkeypatch.setattr(ray_embedding.Embedder, "_embed", elsewhere)
    with pytest.raises(PerisphereError, match=r"node 01234567.*same path on every machine"):
        embed(catalog, encoder, tmp_path / "out", ray="auto")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("machines", "workers", "on_gpu", "share"),
    [
        ([{"CPU": 4}, {"CPU": 8}], 0, True, (4, 0, 3)),
        ([{"CPU": 4}, {"CPU": 8}], 2, True, (2, 0, 6)),
        ([{"CPU": 16, "GPU": 4}, {"CPU": 8}, {"CPU": 8, "GPU": 1}], 0, True, (4, 1, 5)),
        ([{"CPU": 16, "GPU": 4}, {"CPU": 8}], 8, True, (8, 1, 2)),
        ([{"CPU": 16, "GPU": 4}], 32, True, None),
        ([{"CPU": 16, "GPU": 4}, {"CPU": 8}], 0, False, (8, 0, 3)),
        ([{"CPU": 0.5}], 1, True, None),
        ([{"memory": 1}], 0, True, None),
    ],
)
def test_the_share_of_an_actor_follows_the_machines(machines, workers, on_gpu, share):
    nodes = [{"Alive": True, "Resources": machine} for machine in machines]
    nodes.append({"Alive": False, "Resources": {"CPU": 1}})
    if share is None:
        with pytest.raises(PerisphereError, match="--ray: "):
            ray_embedding._share(nodes, workers, on_gpu)
    else:
        found = ray_embedding._share(nodes, workers, on_gpu)
        assert (found.cpus, found.gpus, found.actors) == share


@pytest.mark.parametrize(("photos", "start"), [(1, 0), (20, 0), (1000, 64), (200_000, 0), (5, 5)])
def test_blocks_are_whole_batches_that_cover_the_rest(photos, start):
    blocks = ray_embedding._blocks(Photos([Path("p")] * photos, [None] * photos), start, 8, 3)
    sizes = [len(json.loads(block["paths"])) for block in blocks]
    assert [block["start"] for block in blocks] == [start + sum(sizes[:place]) for place in range(len(sizes))]
    assert sum(sizes) == photos - start
    assert all(size % 8 == 0 for size in sizes[:-1])
    assert len(blocks) <= ray_embedding.MOST_BLOCKS + 1


def test_ray_that_is_not_installed_is_named(catalog, encoder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PerisphereError, match=r"pip install 'perisphere\[ray\]'"):
        embed(catalog, encoder, tmp_path / "out", ray="auto")


def test_what_ray_says_in_many_lines_is_told_in_one():
    told = RuntimeError("ray::MapWorker()\n  File x\nModuleNotFoundError: No module named 'perisphere'\n")
    assert str(ray_embedding._failure(told)).startswith(
        "--ray: a machine failed (ModuleNotFoundError: No module named 'perisphere'). "
    )
    assert "(RuntimeError)" in str(ray_embedding._failure(RuntimeError()))


def test_rays_client_is_refused_before_anything_happens(catalog, encoder, tmp_path):
    with pytest.raises(UsageError, match=r"--ray ray://head:10001: .*ray job submit"):
        embed(catalog, encoder, tmp_path / "out", ray="ray://head:10001")
    assert list(tmp_path.glob(".out*")) == []


DRIVER = """
import sys
from perisphere.catalog import Catalog
from perisphere.encoder import Encoder, embed
embed(Catalog.load(sys.argv[1]), Encoder.load(sys.argv[2]), sys.argv[3], batch_size=4, ray=sys.argv[4])
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Catalog:
    """Photos that take a while to decode."""
    root = tmp_path_factory.mktemp("many")
    for place in range(8):
        slope = np.linspace(0, 255, 800).astype(np.uint8)
        picture = np.broadcast_to(np.roll(slope, 90 * place), (800, 800))
        Image.fromarray(np.stack([picture, picture.T, picture // 2], axis=2)).save(root / f"{place:03}.png")
    for place in range(8, PHOTOS):
        os.link(root / f"{place % 8:03}.png", root / f"{place:03}.png")
    (root / "010.png").unlink()
    (root / "010.png").write_bytes(b"no photo")
    catalog = read("images", root)
    assert len(catalog) == PHOTOS - 1
    return catalog


@pytest.fixture
def two_nodes(monkeypatch):
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else a busy machine gives the nodes no time
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # these nodes are started here, before we connect
    utils = pytest.importorskip("ray.cluster_utils")
    node = {"num_cpus": 1, "object_store_memory": 100 << 20}
    found = utils.Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    found.second = found.add_node(**node)
    yield found
    found.shutdown()


@pytest.mark.slow
def test_a_cluster_of_two_nodes_of_which_one_is_killed(many, pixels, tmp_path, two_nodes, monkeypatch):
    whole = embed(many, pixels, tmp_path / "whole", batch_size=4, precision="float32")
    take, killed, nodes = ray_embedding._take, [], set()

    def kill_one(answer, *words):
        take(answer, *words)
        nodes.add(answer["node"])
        if len(nodes) == 2 and not killed:
            two_nodes.remove_node(two_nodes.second, allow_graceful=False)
            killed.append(answer["stop"])

    monkeypatch.setattr(ray_embedding, "_take", kill_one)
    shared = embed(many, pixels, tmp_path / "shared", batch_size=4, ray=two_nodes.address)
    assert killed[0] < len(many)
    same(shared, whole)
    assert len(shared.run["ray"]["nodes"]) == 2
    assert sum(shared.run["ray"]["nodes"].values()) == len(many)


@pytest.mark.slow
def test_a_killed_driver_goes_on_where_it_was(many, pixels, tmp_path, two_nodes):
    whole = embed(many, pixels, tmp_path / "whole", batch_size=4, precision="float32")
    many.save(tmp_path / "catalog")
    pixels.save(tmp_path / "encoder")
    words = [tmp_path / "catalog", tmp_path / "encoder", tmp_path / "out", two_nodes.address]
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, *map(str, words)], stderr=subprocess.PIPE)
    journal, end = tmp_path / ".out.partial/journal.jsonl", time.monotonic() + 240
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 2):
        assert driver.poll() is None, driver.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    resumed = embed(many, pixels, tmp_path / "out", batch_size=4, ray=two_nodes.address)
    assert 0 < resumed.run["resumed_at"] < len(many)
    same(resumed, whole)


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_told(catalog, encoder, tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(PerisphereError, match=r"--ray auto: no cluster answers.*ray start --head"):
        embed(catalog, encoder, tmp_path / "out", ray="auto")
