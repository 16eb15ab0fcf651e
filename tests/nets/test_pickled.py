import argparse
import collections
import io
import os
import pathlib
import pickle
import struct
import subprocess
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from perisphere.errors import PerisphereError
from perisphere.nets import read_checkpoint
from perisphere.nets.opcodes import interpret

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def save(value, path, zipped=True):
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def same(found, expected):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert found[name].stride() == tensor.stride(), name
        assert torch.equal(found[name], tensor), name


def tensors():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(6, 8, generator=generator)
    return collections.OrderedDict(
        {
            "float": base,
            "transposed": base.T,
            "part": base[2:4, 1::3],
            "half": base.half(),
            "bfloat16": base.bfloat16(),
            "double": base.double(),
            "long": torch.arange(5),
            "int": torch.arange(5, dtype=torch.int32),
            "short": torch.arange(5, dtype=torch.int16),
            "char": torch.arange(-2, 3, dtype=torch.int8),
            "byte": torch.arange(250, 255, dtype=torch.uint8),
            "bool": torch.tensor([True, False, True]),
            "complex": torch.complex(base, -base),
            "scalar": torch.tensor(3),
            "empty": torch.empty(0, 4),
            "parameter": torch.nn.Parameter(base.clone()).detach(),
        }
    )


# --- files as others write them ---


@FORMATS
def test_every_type_and_layout_that_torch_saves_comes_back(tmp_path, zipped):
    expected = tensors()
    same(read_checkpoint(save(expected, tmp_path / "w.pth", zipped)), expected)


@FORMATS
def test_a_module_with_parameters_and_metadata(tmp_path, zipped):
    state = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).state_dict()
    assert state._metadata
    same(read_checkpoint(save(state, tmp_path / "w.pth.tar", zipped)), state)
    parameters = {"a": torch.nn.Parameter(torch.ones(2))}
    assert torch.equal(read_checkpoint(save(parameters, tmp_path / "p.pt", zipped))["a"], torch.ones(2))


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol(tmp_path, zipped, protocol):
    path = tmp_path / "w.pth"
    torch.save(tensors(), path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    same(read_checkpoint(path), tensors())


@FORMATS
@pytest.mark.parametrize("key", ["state_dict", "model", "net", "params", "model_state_dict"])
def test_the_weights_are_found_inside_a_training_checkpoint(tmp_path, zipped, key):
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4])
    checkpoint = {
        "epoch": 3,
        key: layer.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [schedule.state_dict()],
        "hyper_parameters": {"lr": 0.1, "ids": {1, 2}, "where": pathlib.PurePosixPath("a/b"), ("a", 1): 2},
        "args": argparse.Namespace(batch=3, names=["a"], weights=torch.device("cpu")),
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best": None, "scores": np.float64(0.5)}},
        "numpy": np.arange(3),
        "raw": b"\x00\xff",
        "dtype": torch.float16,
    }
    same(read_checkpoint(save(checkpoint, tmp_path / "last.ckpt", zipped)), layer.state_dict())


@FORMATS
def test_tensors_that_share_a_storage_share_memory(tmp_path, zipped):
    base = torch.randn(4, 4)
    found = read_checkpoint(save({"whole": base, "row": base[1]}, tmp_path / "w.pth", zipped))
    found["whole"][1, 2] = 7
    assert found["row"][2] == 7


def test_safetensors_and_npz(tmp_path):
    expected = {"a.weight": torch.randn(2, 3), "b": torch.arange(3)}
    save_file(expected, tmp_path / "w.safetensors")
    np.savez_compressed(tmp_path / "w.npz", **{name: t.numpy() for name, t in expected.items()})
    np.savez(
        tmp_path / "f.npz", a=np.asfortranarray(np.arange(6.0).reshape(2, 3)), b=np.float32([1]).astype(">f4")
    )
    for name in ("w.safetensors", "w.npz"):
        found = read_checkpoint(tmp_path / name)
        assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in expected.items()}
    found = read_checkpoint(tmp_path / "f.npz")
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["b"].tolist() == [1]


@pytest.mark.parametrize("name", ["aliked-t16.pth", "aliked-n16.pth", "tfeat-liberty.params"])
def test_published_files_give_what_torch_gives(shared, name):
    path = shared / "data" / "weights" / name
    same(read_checkpoint(path), torch.load(path, weights_only=True, map_location="cpu"))


# --- files that want to run code ---


class Calls:
    def __init__(self, function, *arguments):
        self.made = function, arguments

    def __reduce__(self):
        return self.made


HOSTILE = [
    (Calls(os.system, "touch OWNED"), "posix.system"),
    (Calls(eval, "open('OWNED', 'w')"), "builtins.eval"),
    (Calls(exec, "open('OWNED', 'w')"), "builtins.exec"),
    (Calls(getattr, "x", "upper"), "builtins.getattr"),
    (Calls(subprocess.Popen, ["touch", "OWNED"]), "(subprocess|commands).Popen"),
    (Calls(open, "OWNED", "w"), "io.open"),
    (Calls(torch.load, "x"), "torch.serialization.load"),
    (Calls(pickle.loads, b"x"), "_?pickle.loads"),
    (Calls(np.load, "x"), "numpy.load"),
]


@FORMATS
@pytest.mark.parametrize(("value", "asked"), HOSTILE, ids=[asked for _, asked in HOSTILE])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_hostile_file_is_refused_by_the_name_of_what_it_asks_for(
    tmp_path, monkeypatch, value, asked, zipped, protocol
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.pth"
    state = {"a": torch.ones(2), "b": value}
    torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    with pytest.raises(PerisphereError, match=f"w.pth: asks for '{asked}'.*Nothing of it was run"):
        read_checkpoint(path)
    assert not (tmp_path / "OWNED").exists()


def test_a_plain_hostile_pickle_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Calls(os.system, "touch OWNED"), protocol=2))
    with pytest.raises(PerisphereError, match=r"posix\.system"):
        read_checkpoint(tmp_path / "w.pth")
    assert not (tmp_path / "OWNED").exists()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"(S'touch OWNED'\nios\nsystem\n.", "opcode"),
        (b"cos\nsystem\n(S'touch OWNED'\ntR.", "'os.system'"),
        (b"\x8c\x02os\x8c\x06system\x93.", "'os.system'"),
        (b"\x8c\x08builtins\x8c\x04eval\x93.", "'builtins.eval'"),
        (b"\x82\x01.", "opcode"),
        (b"Pstorage\n.", "opcode"),
        (b"ctorch\nFloatStorage\n(tR.", None),
        (b"K\x01K\x02R.", "no name is called"),
        (b"(.", "mark"),
        (b".", None),
        (b"t.", "mark is missing"),
        (b"(K\x01tQ.", "no storage"),
        (b"N)b", "no end|exhausted"),
        (b"]K\x01K\x02s.", "no dict"),
    ],
)
def test_programs_outside_the_list_end_in_an_error(tmp_path, program, message):
    path = zip_of(tmp_path / "w.pth", {"w/data.pkl": b"\x80\x02" + program})
    with pytest.raises(PerisphereError, match=message or "w.pth"):
        read_checkpoint(path)


def test_nothing_in_the_reader_unpickles():
    folder = pathlib.Path(interpret.__code__.co_filename).parent
    for path in folder.glob("*.py"):
        text = path.read_text()
        assert "torch.load" not in text.replace("torch.load_", "")
        assert "import pickle\n" not in text
        assert "allow_pickle=True" not in text


def test_many_references_to_one_list_cost_no_copies():
    list_of = b"](" + b"K\x01" * 1000 + b"eq\x00"
    program = b"\x80\x02" + list_of + b"(" + b"c__builtin__\nset\nh\x00\x85R" * 1000 + b"l."
    with pytest.raises(ValueError, match="opcode LIST"):
        interpret(io.BytesIO(program))
    kept = interpret(io.BytesIO(program.replace(b"l.", b"t."))).value
    assert len({id(item) for item in kept}) == 1


# --- damaged files ---


def zip_of(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def tensor_program(offset=0, shape=(2,), stride=(1,), length=4, key="0"):
    """A state dict with one tensor, written opcode by opcode so that its numbers can lie."""

    def number(value):
        data = pickle.encode_long(value)
        return b"\x8a" + bytes([len(data)]) + data

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def numbers(values):
        return b"(" + b"".join(number(value) for value in values) + b"t"

    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(length) + b"tQ"
    )
    arguments = b"(" + storage + number(offset) + numbers(shape) + numbers(stride) + b"\x89Nt"
    return b"\x80\x02}" + text("a") + b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Rs."


def lying(tmp_path, data=b"\0" * 16, **claims):
    return zip_of(tmp_path / "w.pth", {"w/data.pkl": tensor_program(**claims), "w/data/0": data})


def test_the_hand_written_program_is_sound(tmp_path):
    data = np.arange(4, dtype="<f4").tobytes()
    assert read_checkpoint(lying(tmp_path, data, offset=1))["a"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "claims",
    [
        {"offset": 3},
        {"offset": -1},
        {"offset": 2**70},
        {"shape": (5,)},
        {"shape": (2, 2)},
        {"shape": (-2,)},
        {"shape": (2**40,), "stride": (0,)},
        {"shape": (2**62, 4), "stride": (0, 0)},
        {"stride": (4,)},
        {"stride": (-1,)},
        {"stride": (2**63,)},
        {"length": 5},
        {"length": -1},
        {"length": 2**70, "shape": (2**69,)},
        {"shape": (1,) * 65, "stride": (1,) * 65},
        {"key": "1"},
        {"key": "../../etc/passwd"},
    ],
    ids=str,
)
def test_a_slice_outside_its_storage_is_refused(tmp_path, claims):
    with pytest.raises(PerisphereError, match="damaged"):
        read_checkpoint(lying(tmp_path, **claims))


def test_an_odd_bool_is_a_plain_bool(tmp_path):
    program = tensor_program().replace(b"FloatStorage", b"BoolStorage")
    path = zip_of(tmp_path / "w.pth", {"w/data.pkl": program, "w/data/0": b"\x02\x00\xff\x01"})
    assert read_checkpoint(path)["a"].view(torch.uint8).tolist() == [1, 0]


@pytest.mark.parametrize("name", ["../w/data/1", "/etc/cron", "w/../../x", "w\\..\\x"])
def test_an_entry_that_leads_out_of_the_archive_is_refused(tmp_path, name):
    path = lying(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(PerisphereError, match="leads out of the archive"):
        read_checkpoint(path)


def test_compressed_entries_are_refused_in_a_torch_file(tmp_path):
    entries = {"w/data.pkl": tensor_program(), "w/data/0": b"\0" * 1_000_000}
    with pytest.raises(PerisphereError, match="compressed"):
        read_checkpoint(zip_of(tmp_path / "w.pth", entries, zipfile.ZIP_DEFLATED))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "w.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as file:
        for _ in range(64):
            file.write(b"\0" * 1_000_000)
    with pytest.raises(PerisphereError, match="200 times"):
        read_checkpoint(path)


def test_a_tensor_named_twice_is_refused(tmp_path):
    once = tensor_program()
    twice = once[:-1] + once[3:]
    with pytest.raises(PerisphereError, match="'a' is there twice"):
        read_checkpoint(zip_of(tmp_path / "w.pth", {"w/data.pkl": twice, "w/data/0": b"\0" * 16}))


def test_big_endian_numbers_are_refused(tmp_path):
    entries = {"w/data.pkl": tensor_program(), "w/byteorder": b"big", "w/data/0": b"\0" * 16}
    with pytest.raises(PerisphereError, match="big-endian"):
        read_checkpoint(zip_of(tmp_path / "w.pth", entries))


def test_a_torchscript_program_is_refused_with_the_mend(tmp_path):
    entries = {"w/data.pkl": b"\x80\x02}.", "w/constants.pkl": b"\x80\x02}."}
    with pytest.raises(PerisphereError, match=r"TorchScript.*state_dict"):
        read_checkpoint(zip_of(tmp_path / "w.pt", entries))


@FORMATS
def test_every_truncation_is_an_error(tmp_path, zipped):
    path = save({"a": torch.ones(4), "b": torch.zeros(2, 2)}, tmp_path / "w.pth", zipped)
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(PerisphereError, match=r"w\.pth"):
            read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"hello, world", "neither"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"PK\x03\x04 no zip at all", "zip"),
        (pickle.dumps({"a": 1}, protocol=2), "torch.save did not write"),
        (b"\x10\0\0\0\0\0\0\0{not json at all}", "damaged"),
    ],
)
def test_other_files_are_refused_with_a_reason(tmp_path, content, message):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(PerisphereError, match=message):
        read_checkpoint(tmp_path / "w.pth")


def test_arrays_that_are_no_numbers_or_have_no_names(tmp_path):
    np.savez(tmp_path / "o.npz", a=np.array([{"x": 1}], dtype=object))
    np.save(tmp_path / "one.npy", np.ones(3))
    np.savez(tmp_path / "s.npz", a=np.array(["text"]))
    for name, message in (("o.npz", "holds object"), ("one.npy", "without a name"), ("s.npz", "not numbers")):
        with pytest.raises(PerisphereError, match=message):
            read_checkpoint(tmp_path / name)


def test_an_array_header_that_lies_about_its_size(tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    with pytest.raises(PerisphereError, match="not as large"):
        read_checkpoint(zip_of(tmp_path / "w.npz", {"a.npy": stream.getvalue() + b"\0" * 16}))


def test_an_array_header_that_cannot_be_parsed(tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.ones(3))
    broken = stream.getvalue().replace(b"False", b"F{lse")
    with pytest.raises(PerisphereError, match="damaged header"):
        read_checkpoint(zip_of(tmp_path / "w.npz", {"a.npy": broken}))


def test_missing_folder_unreadable_and_empty_dict(tmp_path):
    with pytest.raises(PerisphereError, match="No such file"):
        read_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(PerisphereError, match="directory"):
        read_checkpoint(tmp_path)
    with pytest.raises(PerisphereError, match=r"no named tensors.*state_dict"):
        read_checkpoint(save({"epoch": 3, "name": "x"}, tmp_path / "w.pth"))


SAMPLES = {}


def sample(kind, folder):
    if kind not in SAMPLES:
        path = folder / kind
        small = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}
        if kind == "safetensors":
            save_file(small, path)
        elif kind == "npz":
            with path.open("wb") as file:
                np.savez_compressed(file, a=small["a"].numpy(), b=np.arange(3))
        else:
            save({"state_dict": collections.OrderedDict(small), "epoch": 1}, path, kind == "zip")
        SAMPLES[kind] = path.read_bytes()
    return SAMPLES[kind]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("kind", ["zip", "legacy", "npz", "safetensors"])
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_changed_bytes_give_tensors_or_our_error_and_nothing_else(folder, kind, flips):
    data = bytearray(sample(kind, folder))
    for place, value in flips:
        data[int(place * len(data))] = value
    path = folder / "changed"
    path.write_bytes(data)
    try:
        found = read_checkpoint(path)
    except PerisphereError:
        return
    assert all(tensor.numel() <= len(data) for tensor in found.values())
    assert [tensor.sum() for tensor in found.values()]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_program_describes_something_or_is_refused(program):
    from perisphere.nets.pickled import DAMAGE

    try:
        interpret(io.BytesIO(program))
    except (PerisphereError, *DAMAGE):
        return


def test_every_single_byte_of_a_pickle_may_be_changed(tmp_path):
    """Exhaustive over positions: each byte of the program becomes each of eight other values."""
    program = tensor_program()
    path = tmp_path / "w.pth"
    for position in range(len(program)):
        for value in b"\x00.Rb(Q\xff2":
            changed = program[:position] + bytes([value]) + program[position + 1 :]
            zip_of(path, {"w/data.pkl": changed, "w/data/0": b"\0" * 16})
            try:
                read_checkpoint(path)
            except PerisphereError:
                continue


def test_an_npz_may_not_unpack_to_more_than_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("perisphere.nets.arrays.MAX_UNPACKED", 1000)
    np.savez_compressed(tmp_path / "w.npz", a=np.zeros(500, np.float32))
    with pytest.raises(PerisphereError, match=r"unpack to 2,\d+ bytes, more than the limit of 1,000"):
        read_checkpoint(tmp_path / "w.npz")
