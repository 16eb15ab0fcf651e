import numpy as np
import pytest
import torch

from perisphere.errors import PerisphereError
from perisphere.nets import NetSpec, build, import_weights, load_into
from perisphere.nets.older import in_sequence, older
from perisphere.nets.pickled import Checkpoint, read_training_checkpoint

NUMBERS = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
META = {"architecture": "resnet18", "pooling": "gem", "outputdim": 512}


def numbered(state: dict, prefix: str) -> dict:
    """The names of a ResNet18 as children of a torch.nn.Sequential."""
    names = {name: name.split(".", 1) for name in state}
    return {f"{prefix}{NUMBERS[first]}.{rest}": state[name] for name, (first, rest) in names.items()}


@pytest.fixture(scope="module")
def state() -> dict:
    return build(NetSpec(backbone="resnet18"), seed=5).backbone.state_dict()


@pytest.mark.parametrize(
    "prefix",
    ["features.", "module.features.", "features.0.", "module.features.0.", "module.features.0.0."],
)
def test_a_numbered_resnet_loads_however_often_it_was_wrapped(tmp_path, state, prefix) -> None:
    checkpoint = {
        "epoch": 7,
        "arch": "resnet18",
        "best_prec1": torch.tensor(91.5),
        "state_dict": {**numbered(state, prefix), "module.fc.weight": torch.ones(9, 512)},
    }
    torch.save(checkpoint, tmp_path / "w.pth.tar")
    net, report = import_weights(tmp_path / "w.pth.tar", NetSpec(backbone="resnet18"), seed=1)
    assert report.missing == report.unexpected == []
    assert report.classifier == ["module.fc.weight"]
    found = net.backbone.state_dict()
    assert all(torch.equal(found[name], state[name]) for name in state if "tracked" not in name)


def test_a_numbered_resnet_of_another_depth_is_refused(tmp_path, state) -> None:
    torch.save(numbered(state, "module.features."), tmp_path / "w.pth")
    with pytest.raises(PerisphereError, match=r"of resnet34 are missing.*names fit resnet18"):
        import_weights(tmp_path / "w.pth", NetSpec(backbone="resnet34"))


def test_other_names_are_left_alone() -> None:
    names = ["features.0.weight", "features.3.squeeze.weight", "layer1.0.conv1.weight", "features.x"]
    tensors = {name: torch.ones(1) for name in names}
    assert in_sequence(tensors) is tensors
    assert older(Checkpoint(tensors)) is None


@pytest.mark.parametrize(
    ("meta", "state_names", "expected"),
    [
        ({}, {"pool.p": [1]}, {"pooling": "gem", "gem_learned": True}),
        ({"pooling": "gemmp"}, {"pool.p": [512]}, {"pooling": "gemmp"}),
        (
            {"pooling": "mac", "regional": True},
            {"pool.whiten.weight": [512, 512], "pool.whiten.bias": [512]},
            {"pooling": "mac", "regional": True, "region_projection": True},
        ),
        (
            {"regional": True, "local_whitening": True},
            {
                "lwhiten.weight": [512, 512],
                "lwhiten.bias": [512],
                "pool.rpool.p": [1],
                "pool.whiten.weight": [512, 512],
                "pool.whiten.bias": [512],
            },
            {"pooling": "gem", "gem_learned": True, "regional": True, "region_projection": True,
             "local_projection": True},
        ),
        (
            {"pooling": "rmac", "whitening": True},
            {"whiten.weight": [512, 512], "whiten.bias": [512]},
            {"pooling": "rmac", "unit_pooled": True, "projection": 512},
        ),
    ],
)  # fmt: skip
def test_a_retrieval_checkpoint_says_what_its_network_is(state, meta, state_names, expected) -> None:
    extra = {name: torch.rand(shape) for name, shape in state_names.items()}
    found = older(Checkpoint({**numbered(state, "features."), **extra}, {"meta": {**META, **meta}}))
    assert found.spec == NetSpec(backbone="resnet18", **expected)
    report = load_into(build(found.spec, seed=0), found.tensors)
    assert report.missing == report.unexpected == report.shape_differs == []


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"architecture": "vgg16"}, "architecture 'vgg16' is not known here; known are resnet18"),
        ({"architecture": ["x"]}, "is not known here"),
        ({"pooling": "attention"}, "fit no network here"),
        ({"whitening": True, "outputdim": -1}, "fit no network here"),
    ],
)
def test_a_network_that_is_not_known_is_refused(meta, message) -> None:
    with pytest.raises(PerisphereError, match=message):
        older(Checkpoint({}, {"meta": {**META, **meta}}))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", ["<f8", "<f4", ">f8"])
def test_whitenings_are_read_from_the_settings(tmp_path, zipped, protocol, kind) -> None:
    rng = np.random.default_rng(0)
    mean, projection = rng.normal(size=(6, 1)).astype(kind), rng.normal(size=(6, 6)).astype(kind)
    learned = {
        "sfm": {"ss": {"m": mean, "P": np.asfortranarray(projection)}, "ms": {"m": mean, "P": -projection}}
    }
    file = tmp_path / "w.pth"
    torch.save(
        {"meta": {**META, "mean": [0.5, 0.25, 0.125], "std": [1, 2, 3], "Lw": learned}, "state_dict": {
            "pool.p": torch.ones(1)}},
        file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped,
    )  # fmt: skip
    found = older(read_training_checkpoint(file))
    assert (found.mean, found.std) == ((0.5, 0.25, 0.125), (1, 2, 3))
    assert list(found.whitenings) == ["sfm/ss", "sfm/ms"]
    for name, sign in (("sfm/ss", 1), ("sfm/ms", -1)):
        read_mean, read_projection = found.whitening(name)
        np.testing.assert_array_equal(read_mean, mean.ravel())
        np.testing.assert_array_equal(read_projection, sign * projection)
    with pytest.raises(PerisphereError, match=r"no whitening 'x'; it has sfm/ss, sfm/ms\."):
        found.whitening("x")


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None, 1], dtype=object), np.zeros(2, complex)])
def test_arrays_of_something_else_than_numbers_are_refused(tmp_path, array) -> None:
    meta = {**META, "Lw": {"a": {"ss": {"m": np.zeros(2), "P": array}}}}
    torch.save({"meta": meta, "state_dict": {"pool.p": torch.ones(1)}}, tmp_path / "w.pth")
    with pytest.raises(PerisphereError, match=r"whitening 'a/ss' is damaged"):
        older(read_training_checkpoint(tmp_path / "w.pth")).whitening("a/ss")
