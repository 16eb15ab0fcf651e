import pytest
import torch
from torch.nn import functional

from perisphere.methods import Center, Centers, Hierarchy, LabelEmbedding, LabelEmbeddings
from perisphere.methods.supervised import accuracy
from perisphere.nets import NetSpec, SemanticClassifier, build

POINTS = functional.normalize(
    torch.tensor([[1.0, 0.0, 0.0, 0.2], [0.0, 1.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5]])
)
PREPARED = {"prepare": lambda batch, training: batch, "optimise": lambda: None}


@pytest.fixture
def net():
    return build(NetSpec(backbone="pixels", input_size=4, projection=4), seed=0)


@pytest.fixture
def batch():
    draw = torch.Generator().manual_seed(1)
    return torch.rand(8, 3, 4, 4, generator=draw), torch.randint(3, (8,), generator=draw)


def test_accuracy_counts_ties_within_the_tolerance():
    scores, targets = torch.tensor([[1.0, 1.0 - 5e-7], [1.0, 0.9]]), torch.tensor([1, 1])
    assert accuracy(scores, targets).item() == 0
    assert accuracy(scores, targets, 1e-6).item() == 0.5


@pytest.mark.parametrize("loss", ["inv_corr", "unnorm_corr", "mse", "devise"])
def test_the_class_is_the_nearest_point(net, batch, loss):
    images, targets = batch
    figures = Hierarchy(net, POINTS, loss=loss, **PREPARED).judge(images, targets, False)
    vectors = net(images).detach()
    if loss == "mse":
        distances = torch.stack([((vectors - point) ** 2).sum(1) for point in POINTS], 1)
        nearest = distances.argmin(1)
    else:
        nearest = (vectors @ POINTS.T).argmax(1)
    assert figures["accuracy"].item() == (nearest == targets).double().mean().item()
    assert 0 < figures["accuracy"].item() < 1
    assert set(figures) == {"loss", "accuracy"}


def test_vectors_far_away_are_no_ties_of_all_classes(net, batch):
    images, _ = batch
    net.projection.weight.data *= 1e6
    method = Hierarchy(net, POINTS, loss="mse", **PREPARED)
    own = [method.judge(images, torch.full((8,), label), False)["accuracy"].item() for label in range(3)]
    assert sum(own) == pytest.approx(1)


@pytest.mark.parametrize("base", ["embedding", "pooled"])
def test_the_classifier_is_weighted_and_stands_where_asked(net, batch, base):
    images, targets = batch
    classifier = SemanticClassifier({"embedding": 4, "pooled": 48}[base], 3)
    options = {"classifier": classifier, "class_weight": 0.1, "class_base": base}
    made = Hierarchy(net, POINTS, loss="inv_corr", **options, **PREPARED)
    figures = made.judge(images, targets, False)
    alone = Hierarchy(net, POINTS, **PREPARED).judge(images, targets, False)["loss"]
    below = functional.normalize(net(images)) if base == "embedding" else net.pooled(images)
    expected = functional.cross_entropy(classifier(below), targets)
    torch.testing.assert_close(figures["class_loss"], expected)
    torch.testing.assert_close(figures["loss"], alone + 0.1 * expected)
    assert made.figures == tuple(figures)


def test_softmax_corr_compares_probabilities(batch):
    images, targets = batch
    net = build(NetSpec(backbone="pixels", input_size=4, projection=3, softmax=True), seed=0)
    vectors = net(images)
    torch.testing.assert_close(vectors.sum(1), torch.ones(8))
    assert net.nonnegative
    figures = Hierarchy(net, torch.eye(3), loss="softmax_corr", **PREPARED).judge(images, targets, False)
    own = vectors.gather(1, targets[:, None])
    torch.testing.assert_close(figures["loss"], (1 - own).mean())


def test_center_adds_the_weighted_distance_to_cross_entropy(net, batch):
    images, targets = batch
    head = Centers(4, 3, POINTS)
    figures = Center(net, head, weight=0.5, **PREPARED).judge(images, targets, False)
    vectors = net(images)
    apart = ((vectors - POINTS[targets]) ** 2).sum(1).mean() / 2
    expected = functional.cross_entropy(head.classifier(vectors), targets) + 0.5 * apart
    torch.testing.assert_close(figures["loss"], expected)
    assert not any("centers" in name for name, _ in head.named_parameters())
    assert "centers" in dict(Centers(4, 3).named_parameters())


def test_the_side_output_of_label_embedding_does_not_reach_the_network(net, batch):
    images, targets = batch
    head = LabelEmbeddings(4, 3)
    torch.nn.init.zeros_(head.output.weight)  # nothing comes back through the first output
    made = LabelEmbedding(net, head, **PREPARED)
    made.judge(images, targets, True)["loss"].backward()
    assert not net.projection.weight.grad.any()
    assert head.side_output.weight.grad.any()
