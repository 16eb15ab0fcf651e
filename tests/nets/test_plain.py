import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from perisphere.nets import NetSpec, build

# (inputs, outputs) of the nine convolutions, as published.
CONVOLUTIONS = [
    (3, 64), (64, 64), (64, 128), (128, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512),
]  # fmt: skip


def test_plain11_has_the_published_layers():
    net = build(NetSpec(backbone="plain11", projection=100), seed=0)
    convolutions = sum(9 * inputs * outputs + outputs + 2 * outputs for inputs, outputs in CONVOLUTIONS)
    dense = 512 * 512 + 512 + 2 * 512
    assert sum(p.numel() for p in net.parameters()) == convolutions + dense + 512 * 100 + 100


def test_plain11_is_the_published_sequence_of_operations():
    net = build(NetSpec(backbone="plain11"), seed=0).eval()
    state = net.backbone.state_dict()
    for name, value in state.items():
        if "running" in name:
            value.copy_(torch.rand_like(value) + 0.5)
    images = torch.randn(2, 3, 32, 32)

    def normalised(x, name):
        return F.batch_norm(
            x,
            *(state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")),
            eps=1e-3,
        )

    x = images
    for stage, depth in ((1, 2), (2, 3), (3, 3), (4, 1)):
        for layer in range(depth):
            name = f"layer{stage}.{layer}"
            x = F.relu(F.conv2d(x, state[f"{name}.conv.weight"], state[f"{name}.conv.bias"], padding=1))
            x = normalised(x, f"{name}.bn")
        x = F.avg_pool2d(x, 2) if stage < 4 else x.mean(dim=(2, 3))
    x = normalised(F.relu(F.linear(x, state["fc.fc.weight"], state["fc.fc.bias"])), "fc.bn")
    with torch.no_grad():
        torch.testing.assert_close(net(images), x)


def test_selu_changes_the_function_and_not_the_weights():
    relu = build(NetSpec(backbone="plain11"), seed=0).eval()
    selu = build(NetSpec(backbone="plain11-selu"), seed=0).eval()
    selu.load_state_dict(relu.state_dict())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(relu(images), selu(images))
        x = images
        first = selu.backbone.layer1[0]
        assert torch.allclose(first(x), first.bn(F.selu(first.conv(x))))


def test_plain11_has_no_map_to_pool():
    with pytest.raises(ValidationError, match="plain11 has no map to pool"):
        NetSpec(backbone="plain11", pooling="gem")


def test_plain11_has_numbers_of_both_signs():
    assert not build(NetSpec(backbone="plain11"), seed=0).nonnegative


def test_every_weight_learns():
    net = build(NetSpec(backbone="plain11", projection=10), seed=0)
    net(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
