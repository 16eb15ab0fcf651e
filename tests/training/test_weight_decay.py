"""What decays, and by how much."""

import pytest
import torch
from torch import nn

from perisphere.methods import Centers, LabelEmbeddings
from perisphere.nets import LinearClassifier, NetSpec, build
from perisphere.nets.classifiers import SemanticClassifier
from perisphere.training.optimisation import decaying, optimisation
from perisphere.training.recipe import Sgd


def decays(optimizer):
    """Weight decay by parameter."""
    return {
        id(tensor): group["weight_decay"] for group in optimizer.param_groups for tensor in group["params"]
    }


def test_kernels_alone_decay_where_the_recipe_says_so(recipe):
    net, head = build(NetSpec(backbone="small32", projection=4)), SemanticClassifier(4, 3)
    made = recipe(optimizer={"lr": 0.1, "weight_decay": 0.25, "decay": "kernels", "rates": {"stem": 0.5}})
    optimizer = optimisation(made, net, head)
    found = decays(optimizer)
    assert len(found) == len([*net.parameters(), *head.parameters()])
    for tensor in net.parameters():
        assert found[id(tensor)] == (0.25 if tensor.ndim > 1 else 0)
    for name, tensor in head.named_parameters():
        assert found[id(tensor)] == (1e-3 if name == "2.weight" else 0), "the head has its own"
    rates = {group["name"]: (group["rate"], group["lr"]) for group in optimizer.param_groups}
    assert rates["stem"] == pytest.approx((0.5, 0.05))
    assert rates["classifier"] == pytest.approx((1.0, 0.1))


@pytest.mark.parametrize("head", [Centers(4, 3), LabelEmbeddings(4, 3)])
def test_the_heads_of_center_loss_and_label_embedding_do_not_decay(recipe, head):
    net = build(NetSpec(backbone="small32", projection=4))
    found = decays(optimisation(recipe(optimizer={"lr": 0.1, "weight_decay": 0.25}), net, head))
    assert {found[id(tensor)] for tensor in head.parameters()} == {0}
    assert {found[id(tensor)] for tensor in net.parameters()} == {0.25}


def test_everything_decays_by_default_in_the_same_groups_as_before(recipe):
    net, head = build(NetSpec(backbone="small32", projection=4)), LinearClassifier(4, 3)
    optimizer = optimisation(recipe(optimizer={"lr": 0.1, "weight_decay": 0.25}), net, head)
    assert set(decays(optimizer).values()) == {0.25}
    names = [group["name"] for group in optimizer.param_groups]
    assert len(names) == len(set(names))


def test_the_decay_is_the_gradient_of_an_l2_penalty_of_half_its_factor():
    layer, penalty = nn.Linear(3, 2), 5e-4
    loss = layer(torch.ones(1, 3)).sum()
    expected = (
        layer.weight.detach()
        - 0.1 * torch.autograd.grad(loss + penalty * (layer.weight**2).sum(), layer.weight)[0]
    )
    choice = Sgd(lr=0.1, momentum=0, weight_decay=2 * penalty, decay="kernels")
    groups = decaying([{"name": "layer", "params": list(layer.parameters())}], choice, layer)
    optimizer = torch.optim.SGD(groups, 0.1)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), expected)
