"""Checkpoints laid out as the centroid triplet program writes them, and a plain forward pass of them."""

import sys
import types
from collections import defaultdict

import torch
from torch.nn import functional as F

from perisphere.nets import NetSpec, build

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3), "resnet50_ibn_a": (3, 4, 6, 3)}


class _Settings(dict):
    """Stands for a class of settings that is not installed here; pickled under that class's name."""


def _foreign(monkeypatch, module: str, name: str) -> type:
    kind = type(name, (_Settings,), {"__module__": module})
    for end in range(1, module.count(".") + 2):
        part = ".".join(module.split(".")[:end])
        monkeypatch.setitem(sys.modules, part, sys.modules.get(part) or types.ModuleType(part))
    monkeypatch.setattr(sys.modules[module], name, kind, raising=False)
    return kind


def state_dict(backbone: str, identities: int = 5) -> dict[str, torch.Tensor]:
    """Return the weights by the program's names, every statistic away from its start."""
    generator = torch.Generator().manual_seed(3)
    net = build(NetSpec(backbone=backbone), seed=7)
    state = {f"backbone.base.{name}": value for name, value in net.backbone.state_dict().items()}
    dim = net.dim
    if backbone.endswith("ibn_a"):
        state |= {
            "backbone.base.fc.weight": torch.zeros(1000, dim),
            "backbone.base.fc.bias": torch.zeros(1000),
        }
    state["center_loss.centers"] = torch.randn(identities, dim, generator=generator)
    state |= {"bn.weight": torch.ones(dim), "bn.bias": torch.zeros(dim), "bn.running_mean": torch.zeros(dim)}
    state |= {"bn.running_var": torch.ones(dim), "bn.num_batches_tracked": torch.tensor(12)}
    state["fc_query.weight"] = torch.randn(identities, dim, generator=generator)
    for name, value in state.items():
        drawn = torch.rand(value.shape, generator=generator)
        if name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
            state[name] = 0.5 + drawn
        elif name.endswith(("running_mean", ".bias")) and name != "bn.bias":
            state[name] = drawn - 0.5
    return state


def checkpoint(monkeypatch, backbone: str, *, settings: bool = True, **changes) -> dict:
    """Return what Lightning 1.1 saves of a run: weights, optimisers, callbacks by class, settings."""
    node = _foreign(monkeypatch, "yacs.config", "CfgNode")
    mapping = _foreign(monkeypatch, "pytorch_lightning.utilities.parsing", "AttributeDict")
    callback = _foreign(monkeypatch, "pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
    side = [320, 320] if backbone.endswith("ibn_a") else [256, 128]
    model = {"NAME": backbone, "LAST_STRIDE": 1, "PRETRAIN_PATH": "./models/x.pth", **changes}
    given = {"MODEL": node(model), "INPUT": node({"SIZE_TEST": side, "PIXEL_MEAN": [0.485, 0.456, 0.406]})}
    given |= {"SOLVER": node({"LR_STEPS": (40, 70), "DISTANCE_FUNC": "euclidean"})}
    given |= {"DATASETS": node({"NAMES": "market1501"}), "num_query": 3368, "num_classes": 5}
    given["MODEL"].__dict__.update({"__immutable__": False, "__deprecated_keys__": set()})
    weights = state_dict(backbone)
    moments = {"step": 9, "exp_avg": torch.zeros(3), "exp_avg_sq": torch.ones(3)}
    groups = [{"lr": 1e-6, "betas": (0.9, 0.999), "weight_decay": 5e-4, "params": [0]}]
    whole = {
        "epoch": 119,
        "global_step": 24_000,
        "pytorch-lightning_version": "1.1.4",
        "callbacks": {
            callback: {"best_model_score": torch.tensor(0.85), "best_model_path": "epoch=119.ckpt"}
        },
        "optimizer_states": [{"state": defaultdict(dict, {0: moments}), "param_groups": groups}],
        "lr_schedulers": [],
        "native_amp_scaling_state": {"scale": 65536.0, "growth_factor": 2.0},
        "state_dict": weights,
    }
    if settings:
        whole |= {"hparams_name": "cfg", "hyper_parameters": mapping(given)}
    return whole


def _norm(x, state, name):
    if f"{name}.IN.weight" in state:
        half = len(state[f"{name}.IN.weight"])
        mean, spread = (
            x[:, :half].mean((2, 3), keepdim=True),
            x[:, :half].var((2, 3), keepdim=True, correction=0),
        )
        scale, shift = (state[f"{name}.IN.{part}"][:, None, None] for part in ("weight", "bias"))
        first = (x[:, :half] - mean) / (spread + 1e-5).sqrt() * scale + shift
        return torch.cat([first, _norm(x[:, half:], state, f"{name}.BN")], 1)
    parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *parts)


def _block(x, state, name, stride):
    convolutions = [n for n in (1, 2, 3) if f"{name}.conv{n}.weight" in state]
    strided = 2 if len(convolutions) == 3 else 1
    out = x
    for n in convolutions:
        weight = state[f"{name}.conv{n}.weight"]
        step = stride if n == strided else 1
        out = _norm(F.conv2d(out, weight, stride=step, padding=weight.shape[2] // 2), state, f"{name}.bn{n}")
        out = out.relu() if n != convolutions[-1] else out
    if f"{name}.downsample.0.weight" in state:
        x = F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
        x = _norm(x, state, f"{name}.downsample.1")
    return (out + x).relu()


@torch.no_grad()
def features(weights: dict[str, torch.Tensor], backbone: str, images: torch.Tensor) -> torch.Tensor:
    """Return what the program gives for images: after the BNNeck, not normalised."""
    prefix = "backbone.base."
    state = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    x = _norm(F.conv2d(images, state["conv1.weight"], stride=2, padding=3), state, "bn1")
    x = x.relu() if backbone.endswith("ibn_a") else x  # the plain networks have none here
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, (depth, stride) in enumerate(zip(BLOCKS[backbone], (1, 2, 2, 1), strict=True), start=1):
        for place in range(depth):
            x = _block(x, state, f"layer{stage}.{place}", 1 if place else stride)
    pooled = x.mean((2, 3))
    mean, var, scale = (weights[f"bn.{part}"] for part in ("running_mean", "running_var", "weight"))
    return (pooled - mean) / (var + 1e-5).sqrt() * scale
