import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import perisphere.cli.read  # noqa: F401
from perisphere.catalog import Catalog, decode
from perisphere.catalog.readers import read
from perisphere.cli.main import app
from perisphere.errors import PerisphereError, UsageError
from perisphere.foreign.plain_pickle import read_plain_pickle
from perisphere.taxonomy import Taxonomy

FINE = [f"fine_{number}" for number in range(100)]
COARSE = [f"coarse_{number}" for number in range(20)]
TRAIN, TEST = [99, 0, 49, 50, 3], [50, 49]


def pixels(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def picture(row: np.ndarray) -> np.ndarray:
    """The photo of a row: three planes, each row by row."""
    return np.stack([row[k * 1024 : (k + 1) * 1024].reshape(32, 32) for k in range(3)], axis=2)


def dump(file: Path, value: Any, protocol: int = 2) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(value, protocol))


def python100(root: Path, protocol: int = 2, keys: type = str) -> Path:
    def key(name: str) -> Any:
        return name if keys is str else name.encode()

    for name, labels, seed in (("train", TRAIN, 0), ("test", TEST, 1)):
        content = {
            key("data"): pixels(len(labels), seed),
            key("fine_labels"): labels,
            key("coarse_labels"): [label % 20 for label in labels],
            key("filenames"): [key(f"{k}.png") for k in range(len(labels))],
            key("batch_label"): key("x"),
        }
        dump(root / name, content, protocol)
    dump(root / "meta", {key("fine_label_names"): FINE, key("coarse_label_names"): COARSE}, protocol)
    return root


def binary100(root: Path) -> Path:
    root.mkdir()
    for name, labels, seed in (("train", TRAIN, 0), ("test", TEST, 1)):
        heads = np.array([[label % 20, label] for label in labels], np.uint8)
        np.hstack([heads, pixels(len(labels), seed)]).tofile(root / f"{name}.bin")
    (root / "fine_label_names.txt").write_text("\n".join(FINE) + "\n")
    (root / "coarse_label_names.txt").write_text("\n".join(COARSE) + "\n")
    return root


def python10(root: Path) -> Path:
    for number in range(1, 6):
        content = {b"data": pixels(2, number), b"labels": [number, 9], b"batch_label": b"x"}
        dump(root / f"data_batch_{number}", content)
    dump(root / "test_batch", {b"data": pixels(1, 6), b"labels": [4]})
    dump(root / "batches.meta", {b"label_names": [b"c%d" % k for k in range(10)], b"num_vis": 3072})
    return root


def binary10(root: Path) -> Path:
    root.mkdir()
    for number in range(1, 6):
        heads = np.array([[number], [9]], np.uint8)
        np.hstack([heads, pixels(2, number)]).tofile(root / f"data_batch_{number}.bin")
    np.hstack([np.array([[4]], np.uint8), pixels(1, 6)]).tofile(root / "test_batch.bin")
    (root / "batches.meta.txt").write_text("".join(f"c{k}\n" for k in range(10)) + "\n")
    return root


def check100(found: Catalog) -> None:
    assert found.table.select("path", "split", "label", "categories").rows() == [
        ("train/fine_99/00000.png", "train", "fine_99", ["coarse_19", "fine_99"]),
        ("train/fine_0/00001.png", "train", "fine_0", ["coarse_0", "fine_0"]),
        ("train/fine_49/00002.png", "train", "fine_49", ["coarse_9", "fine_49"]),
        ("train/fine_50/00003.png", "train", "fine_50", ["coarse_10", "fine_50"]),
        ("train/fine_3/00004.png", "train", "fine_3", ["coarse_3", "fine_3"]),
        ("test/fine_50/00000.png", "test", "fine_50", ["coarse_10", "fine_50"]),
        ("test/fine_49/00001.png", "test", "fine_49", ["coarse_9", "fine_49"]),
    ]
    rows = [*pixels(5, 0), *pixels(2, 1)]
    for path, row in zip(found.paths(), rows, strict=True):
        assert np.array_equal(decode(path), picture(row))
    assert found.classes == {str(k): name for k, name in enumerate(FINE)}


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("keys", [str, bytes])
def test_the_python_version_of_cifar100_comes_out_pixel_by_pixel(
    protocol: int, keys: type, tmp_path: Path
) -> None:
    check100(read("cifar100", python100(tmp_path / "root", protocol, keys), out=tmp_path / "out"))


def test_the_pickles_of_python_2_are_read(tmp_path: Path) -> None:
    """As Python 2 wrote them: arrays whose bytes and keys are strings of bytes."""
    root = python100(tmp_path / "root")
    data = pixels(1).tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01(cnumpy\nndarray\nq\x02K\x00\x85U\x01btRq\x03"
        b"(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nq\x04(U\x02u1K\x00K\x01tRq\x05"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + len(data).to_bytes(4, "little") + data + b"tb"
    ).replace(b"\x89T", b"I00\nT")  # fmt: skip
    (root / "test").write_bytes(
        b"\x80\x02}q\x00(U\x04data" + array + b"U\x0bfine_labels]K\x07aU\rcoarse_labels]K\x07au."
    )
    found = read("cifar100", root, out=tmp_path / "out").select(split="test")
    assert found.labels() == ["fine_7"]
    assert np.array_equal(decode(found.paths()[0]), picture(pixels(1)[0]))


def test_the_binary_version_of_cifar100_is_the_same(tmp_path: Path) -> None:
    check100(read("cifar100", binary100(tmp_path / "root"), out=tmp_path / "out"))


@pytest.mark.parametrize("write", [python10, binary10])
def test_cifar10(write: Any, tmp_path: Path) -> None:
    found = read("cifar10", write(tmp_path / "root"), out=tmp_path / "out")
    labels = [label for number in range(1, 6) for label in (f"c{number}", "c9")]
    assert found.labels() == [*labels, "c4"]
    assert found.table["split"].to_list() == ["train"] * 10 + ["test"]
    rows = [row for number in (1, 2, 3, 4, 5) for row in pixels(2, number)] + [pixels(1, 6)[0]]
    assert all(np.array_equal(decode(p), picture(r)) for p, r in zip(found.paths(), rows, strict=True))
    assert found.classes == {str(k): f"c{k}" for k in range(10)}


@pytest.mark.parametrize("inner", ["cifar-100-python", "cifar-100-binary"])
def test_the_folder_above_is_enough(inner: str, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (python100 if inner.endswith("python") else binary100)(tmp_path / "root" / inner)
    check100(read("cifar100", tmp_path / "root", out=tmp_path / "out"))


@pytest.mark.parametrize(
    ("subset", "kept", "first"),
    [("a", range(50), 0), ("b", range(50, 100), 50), ("b-consec", range(50, 100), 0)],
)
@pytest.mark.parametrize("write", [python100, binary100])
def test_halves_of_cifar100(subset: str, kept: range, first: int, write: Any, tmp_path: Path) -> None:
    found = read("cifar100", write(tmp_path / "root"), out=tmp_path / "out", subset=subset)
    assert found.labels() == [f"fine_{k}" for k in [*TRAIN, *TEST] if k in kept]
    assert found.classes == {str(new): f"fine_{old}" for new, old in enumerate(kept, first)}
    positions = [k for k, label in enumerate(TRAIN) if label in kept]
    for path, row in zip(found.select(split="train").paths(), pixels(5)[positions], strict=True):
        assert np.array_equal(decode(path), picture(row))


def test_without_names_labels_are_numbers(tmp_path: Path) -> None:
    root = python100(tmp_path / "root")
    (root / "meta").unlink()
    assert read("cifar100", root, out=tmp_path / "all").labels()[:2] == ["99", "0"]
    found = read("cifar100", root, out=tmp_path / "half", subset="b-consec")
    assert found.labels() == ["49", "0", "0"]


def test_the_catalog_can_be_moved_with_its_photos(tmp_path: Path) -> None:
    read("cifar100", python100(tmp_path / "root"), out=tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "moved")
    check100(Catalog.load(tmp_path / "moved"))


def test_saving_over_the_catalog_keeps_its_photos(tmp_path: Path) -> None:
    found = read("cifar100", python100(tmp_path / "root"), out=tmp_path / "out")
    found.select(split="test").save(tmp_path / "elsewhere")
    assert Catalog.load(tmp_path / "elsewhere").root == tmp_path / "out/photos"
    found.save(tmp_path / "out", overwrite=True)
    check100(Catalog.load(tmp_path / "out"))
    read("cifar100", tmp_path / "root", out=tmp_path / "out", overwrite=True)
    check100(Catalog.load(tmp_path / "out"))


def test_the_command_line_writes_names_for_taxonomies(tmp_path: Path) -> None:
    root, out = python100(tmp_path / "root"), tmp_path / "out"
    words = ["read", "cifar100", str(root), "-o", str(out), "--subset", "b", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.exception
    assert json.loads(result.stdout)["names"] == str(out / "classes.txt")
    assert (out / "classes.txt").read_text().splitlines()[0] == "50 fine_50"


def test_arrays_need_a_folder_to_be_unpacked_to(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"cifar100: its photos lie in arrays\. `perisphere read cifar100 .* -o"
    ):
        read("cifar100", python100(tmp_path / "root"))


class Attack:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def _truncate(root: Path, name: str) -> None:
    data = (root / name).read_bytes()
    (root / name).write_bytes(data[: len(data) // 2])


def _with(name: str, **change: Any) -> Any:
    def edit(root: Path) -> None:
        content = read_plain_pickle(root / name)
        dump(root / name, {**content, **change})

    return edit


SPOILT = {
    "train is missing": (
        lambda root: (root / "train").unlink(),
        "train is missing. Unpack the whole archive",
    ),
    "test is missing": (lambda root: (root / "test").unlink(), "test is missing"),
    "truncated": (lambda root: _truncate(root, "train"), "train: is damaged"),
    "empty": (lambda root: (root / "test").write_bytes(b""), "test: is damaged"),
    "code": (lambda root: dump(root / "train", {"data": Attack(root / "hit")}), "asks for 'posix.mkdir'"),
    "code in meta": (lambda root: dump(root / "meta", Attack(root / "hit")), "asks for 'posix.mkdir'"),
    "no dict": (lambda root: dump(root / "test", [1]), "test: holds no dict"),
    "no names": (lambda root: dump(root / "meta", {}), "no list of texts 'fine_label_names'"),
    "floats": (_with("test", data=np.zeros((2, 3072))), "no uint8 array of 3072 columns"),
    "columns": (_with("test", data=np.zeros((2, 3071), np.uint8)), "no uint8 array of 3072 columns"),
    "fewer labels": (_with("test", fine_labels=[1]), "'fine_labels' is no list of a class for each of its 2"),
    "text labels": (_with("test", fine_labels=["1", "2"]), "'fine_labels' is no list of a class"),
    "huge": (_with("test", fine_labels=[1, 10**30]), "'fine_labels' is no list of a class"),
    "out of range": (
        _with("test", fine_labels=[1, 100]),
        "photo 1 is of class 100, but there are 100 classes",
    ),
    "negative": (_with("test", fine_labels=[-1, 1]), "photo 0 is of class -1"),
    "coarse": (_with("test", coarse_labels=[1, 20]), "photo 1 is of class 20, but there are 20 classes"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_pickles_leave_nothing_and_run_nothing(case: str, tmp_path: Path) -> None:
    root = python100(tmp_path / "root")
    spoil, complaint = SPOILT[case]
    spoil(root)
    with pytest.raises(PerisphereError, match=complaint) as caught:
        read("cifar100", root, out=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (root / "hit").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_an_older_catalog_stays_when_the_new_one_fails(tmp_path: Path) -> None:
    root = python100(tmp_path / "root")
    read("cifar100", root, out=tmp_path / "out")
    _truncate(root, "test")
    with pytest.raises(PerisphereError, match="damaged"):
        read("cifar100", root, out=tmp_path / "out", overwrite=True)
    check100(Catalog.load(tmp_path / "out"))


def test_truncated_records(tmp_path: Path) -> None:
    root = binary100(tmp_path / "root")
    _truncate(root, "train.bin")
    with pytest.raises(PerisphereError, match=r"train\.bin: truncated: 7685 bytes are no multiple of 3074"):
        read("cifar100", root, out=tmp_path / "out")


def test_other_folders_and_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match="nowhere: no such folder"):
        read("cifar10", tmp_path / "nowhere", out=tmp_path / "out")
    with pytest.raises(PerisphereError, match=r"neither data_batch_1 nor data_batch_1\.bin"):
        read("cifar10", tmp_path, out=tmp_path / "out")
    with pytest.raises(UsageError, match="subset: 'c' is none of a, b, b-consec"):
        read("cifar100", python100(tmp_path / "root"), out=tmp_path / "out", subset="c")
    with pytest.raises(UsageError, match=r"'cifar10' takes no option 'subset'\. It belongs to cifar100"):
        read("cifar10", tmp_path, out=tmp_path / "out", subset="a")


def test_names_cannot_lead_out_of_the_catalog(tmp_path: Path) -> None:
    root = python100(tmp_path / "root")
    dump(root / "meta", {"fine_label_names": ["../../x", "..", *FINE[2:]], "coarse_label_names": COARSE})
    found = read("cifar100", root, out=tmp_path / "out")
    assert found.labels()[1] == "../../x"
    assert all(path.resolve().is_relative_to(tmp_path / "out/photos") for path in found.paths())


def test_the_real_taxonomy_of_cifar100_knows_the_names_in_the_catalog(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/hierarchies/cifar100"
    names = [line.split()[1] for line in (folder / "class_names.txt").read_text().splitlines()]
    root = python100(tmp_path / "root")
    dump(root / "meta", {"fine_label_names": names, "coarse_label_names": COARSE})
    found = read("cifar100", root, out=tmp_path / "out")
    tree = Taxonomy.load(folder / "cifar.parent-child.txt", names=tmp_path / "out/classes.txt")
    assert tree.classes_of([str(label) for label in found.labels()]) == TRAIN + TEST
