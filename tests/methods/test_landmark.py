import pytest
import torch
from torch.nn import functional

from perisphere.methods import Landmark
from perisphere.nets import LinearClassifier, NetSpec, build


class Reduce:
    """A strategy of one device."""

    @staticmethod
    def reduce(tensor, reduce_op):
        assert reduce_op == "sum"
        return tensor


@pytest.fixture
def method(monkeypatch):
    net = build(NetSpec(backbone="pixels", input_size=4), seed=0)
    made = Landmark(
        net,
        LinearClassifier(net.dim, 3),
        prepare=lambda batch, training: batch,
        optimise=lambda: "chosen",
        label_smoothing=0.3,
    )
    logged = {}
    monkeypatch.setattr(made, "log_dict", lambda metrics, logger: logged.update(metrics))
    monkeypatch.setattr(type(made), "trainer", property(lambda self: type("T", (), {"strategy": Reduce})))
    return made, logged


def batch(count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 4, 4, generator=draw), torch.randint(3, (count,), generator=draw)


def test_the_loss_is_smoothed_cross_entropy(method):
    made, _ = method
    images, targets = batch(6)
    loss = made.training_step((images, targets), 0)
    logits = made(images)
    plain = functional.cross_entropy(logits, targets)
    spread = -functional.log_softmax(logits, 1).mean(1).mean()
    assert torch.allclose(loss, 0.7 * plain + 0.3 * spread, atol=1e-6)
    assert loss.requires_grad


def test_epoch_figures_are_means_over_photos_not_batches(method):
    made, logged = method
    batches = [batch(5, 1), batch(2, 2)]
    for position, one in enumerate(batches):
        made.validation_step(one, position)
    made.on_validation_epoch_end()
    images, targets = (torch.cat(part) for part in zip(*batches, strict=True))
    logits = made(images).detach()
    assert logged["val/loss"] == pytest.approx(float(functional.cross_entropy(logits, targets)), abs=1e-6)
    assert logged["val/accuracy"] == pytest.approx(float((logits.argmax(1) == targets).float().mean()))


def test_rows_that_fill_up_count_for_nothing(method):
    made, logged = method
    images, targets = batch(4)
    padded = targets.clone()
    padded[2:] = -100
    made.validation_step((images, padded), 0)
    made.validation_step((images, torch.full_like(targets, -100)), 1)
    made.on_validation_epoch_end()
    expected = float(functional.cross_entropy(made(images[:2]).detach(), targets[:2]))
    assert logged["val/loss"] == pytest.approx(expected, abs=1e-6)


def test_the_optimiser_is_the_one_given(method):
    assert method[0].configure_optimizers() == "chosen"
