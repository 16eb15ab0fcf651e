import json

import pytest
import torch

from perisphere.errors import UsageError
from perisphere.nets import LinearClassifier, NetSpec, build
from perisphere.training.freezing import freeze, frozen_norms, parameter_groups
from perisphere.training.optimisation import optimiser
from perisphere.training.recipe import Adam, Freeze, Sgd


def learning(net):
    return {name for name, tensor in net.named_parameters() if tensor.requires_grad}


def test_counts_of_resnet152_are_the_published_ones(shared):
    cases = json.loads((shared / "golden" / "landmarks.json").read_text())["cases"][
        "frozen_tensors_resnet152"
    ]
    for case in cases:
        with torch.device("meta"):
            net = build(NetSpec(backbone="resnet152"))
        tensors = list(net.backbone.parameters())
        assert len(tensors) == case["outputs"]["backbone_tensors"]
        assert sum(tensor.numel() for tensor in tensors) == case["outputs"]["backbone_elements"]
        freeze(net, Freeze(first=case["inputs"]["frozen_leading_tensors"]))
        left = [tensor for tensor in tensors if tensor.requires_grad]
        assert len(left) == case["outputs"]["trainable_tensors"]
        assert sum(tensor.numel() for tensor in left) == case["outputs"]["trainable_elements"]


def test_first_and_trainable_are_two_ways_to_say_the_same():
    nets = [build(NetSpec(backbone="resnet18")) for _ in range(2)]
    total = len(list(nets[0].backbone.parameters()))
    freeze(nets[0], Freeze(first=20))
    freeze(nets[1], Freeze(trainable=total - 20))
    assert learning(nets[0]) == learning(nets[1])
    assert len(learning(nets[0])) == total - 20


def test_stages_and_blocks_by_name():
    net = build(NetSpec(backbone="resnet18"))
    freeze(net, Freeze(stages=("stem", "layer2.0")))
    left = learning(net)
    assert not any(name.startswith(("backbone.conv1", "backbone.bn1", "backbone.layer2.0")) for name in left)
    assert any(name.startswith("backbone.layer2.1") for name in left)


def test_head_only_leaves_the_classifier_alone_to_learn():
    net = build(NetSpec(backbone="small32", projection=4, bnneck=True))
    freeze(net, Freeze(head_only=True))
    groups = parameter_groups(net, LinearClassifier(4, 2), {}, 0.1)
    assert [group["name"] for group in groups] == ["classifier"]


def test_frozen_norms_are_those_without_a_learning_parameter():
    net = build(NetSpec(backbone="small32", projection=4, bnneck=True))
    assert frozen_norms(net) == []  # the neck's shift never learns, its scale does
    freeze(net, Freeze(stages=("stem",)))
    assert frozen_norms(net) == [
        module for module in net.backbone.stem if isinstance(module, torch.nn.BatchNorm2d)
    ]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Freeze(stages=("stage9",)), "Did you mean 'stage"),
        (Freeze(stages=("qqqq",)), "Its stages are stem"),
        (Freeze(first=10_000), "'freeze.first' is 10000"),
        (Freeze(trainable=10_000), "'freeze.trainable' is 10000"),
    ],
)
def test_what_the_network_has_not_is_an_error(rule, words):
    with pytest.raises(UsageError, match=words):
        freeze(build(NetSpec(backbone="small32")), rule)


def test_rates_by_stage_go_before_backbone_and_head():
    net = build(NetSpec(backbone="small32", projection=4))
    rates = {"backbone": 0.1, "stage3": 0.5, "head": 2.0}
    groups = parameter_groups(net, LinearClassifier(4, 2), rates, 0.1)
    found = {group["name"]: group["lr"] for group in groups}
    assert found == pytest.approx(
        {"stem": 0.01, "stage1": 0.01, "stage2": 0.01, "stage3": 0.05, "projection": 0.2, "classifier": 0.2}
    )
    counted = [tensor for group in groups for tensor in group["params"]]
    assert len({id(tensor) for tensor in counted}) == len(counted)


@pytest.mark.parametrize(
    ("rates", "words"), [({"stag3": 1}, "Did you mean 'stage3'"), ({"stem": -1}, "0 or more")]
)
def test_wrong_rates_are_errors(rates, words):
    with pytest.raises(UsageError, match=words):
        parameter_groups(build(NetSpec(backbone="small32")), LinearClassifier(192, 2), rates, 0.1)


def test_every_word_of_the_optimiser_arrives():
    def groups():
        return [{"params": [torch.zeros(1, requires_grad=True)], "lr": 0.5, "name": "x"}]

    sgd = optimiser(Sgd(lr=1, momentum=0.8, nesterov=True, weight_decay=0.3), groups())
    assert isinstance(sgd, torch.optim.SGD)
    group = sgd.param_groups[0]
    assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"]) == (0.5, 0.8, True, 0.3)
    for name, kind in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)):
        adam = optimiser(Adam(name=name, betas=(0.5, 0.6), weight_decay=0.2), groups())
        assert type(adam) is kind
        assert (adam.param_groups[0]["betas"], adam.param_groups[0]["weight_decay"]) == ((0.5, 0.6), 0.2)


def test_a_frozen_net_without_a_classifier_is_refused():
    net = build(NetSpec(backbone="small32", projection=4))
    freeze(net, Freeze(head_only=True))
    assert parameter_groups(net, LinearClassifier(4, 2), {}, 0.1)
    with pytest.raises(UsageError, match="nothing to learn"):
        parameter_groups(net, torch.nn.Identity(), {}, 0.1)
