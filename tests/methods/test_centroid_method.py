from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from perisphere.losses import batch_hard, centroid_triplet, class_centers, metric_learning
from perisphere.methods import Centroid, CentroidHead, CentroidTerms, Extra
from perisphere.methods.centroid import ClassCenters
from perisphere.nets import NetSpec, build

CLASSES, DIM = 4, 6


@pytest.fixture
def batch():
    """Three identities with three places each; the last identity has two photos."""
    draw = torch.Generator().manual_seed(1)
    images = torch.rand(9, 3, 4, 4, generator=draw)
    real = torch.ones(9, dtype=torch.bool)
    real[8] = False
    images[8] = 0
    return images, torch.tensor([2, 2, 2, 0, 0, 0, 3, 3, 3]), real


def method(terms: CentroidTerms, extra=(), smoothing=0.1) -> Centroid:
    net = build(NetSpec(backbone="pixels", input_size=4, projection=DIM, bnneck=True), seed=0)
    torch.manual_seed(5)
    head = CentroidHead(DIM, CLASSES, terms, extra=extra)
    made = Centroid(
        net,
        head,
        terms,
        extra=extra,
        label_smoothing=smoothing,
        prepare=lambda batch, training: (batch.pictures, batch.targets),
        optimise=lambda: None,
    )
    made._trainer = SimpleNamespace(world_size=1, training=True, barebones=True)
    made.all_gather = lambda tensors: tensors
    return made.train()


def test_each_term_sees_its_feature_and_the_loss_is_their_weighted_sum(batch):
    images, targets, real = batch
    terms = CentroidTerms(triplet=0.5, centroid=2, center=0.01, classes=0.7, margin=0.3, instances=3)
    made = method(terms)
    figures = made.learn(made.features(images, real), targets, real)
    features = made.net.projection(made.net.pooled(images))
    embeddings = method(terms).net.bnneck(features[real])
    logits = functional.linear(embeddings, made.head.classifier.weight)
    found = centroid_triplet(features, targets, real, 3, margin=0.3)
    wanted = {
        "class_loss": functional.cross_entropy(logits, targets[real], label_smoothing=0.1),
        "triplet_loss": batch_hard(features, targets, margin=0.3, anchors=real).loss,
        "centroid_loss": found.loss,
        "center_loss": class_centers(features[real], made.head.centers.centers, targets[real]),
        "positive_distance": found.positive,
        "negative_distance": found.negative,
        "centroid_norm": found.norm,
    }
    for name, value in wanted.items():
        assert figures[name].item() == pytest.approx(value.item(), rel=1e-5), name
    whole = (
        0.7 * wanted["class_loss"]
        + 0.5 * wanted["triplet_loss"]
        + 2 * wanted["centroid_loss"]
        + 0.01 * wanted["center_loss"]
    )
    assert figures["loss"].item() == pytest.approx(whole.item(), rel=1e-5)
    assert set(figures) == {*made.figures, *made.learned}


def test_the_classifier_has_no_offset_and_starts_near_zero():
    torch.manual_seed(0)
    classifier = CentroidHead(512, 100, CentroidTerms()).classifier
    assert classifier.bias is None
    assert classifier.weight.std().item() == pytest.approx(0.001, rel=0.05)


def test_empty_places_are_zero_images_unless_corrected_leaves_them_out(batch):
    images, targets, real = batch
    other = images.clone()
    other[8] = torch.rand(3, 4, 4)
    prepared = [
        method(CentroidTerms(instances=3)).on_after_batch_transfer(
            SimpleNamespace(pictures=pictures, targets=targets, real=real), 0
        )[0]
        for pictures in (images, other)
    ]
    assert torch.equal(*prepared)
    assert prepared[0][8].abs().sum() == 0
    results = {}
    for corrected in (False, True):
        made = method(CentroidTerms(instances=3, corrected=corrected, margin=5.0))
        features = made.features(images, real)
        figures = made.learn(features, targets, real)
        alone = method(CentroidTerms(margin=5.0)).features(images[:8], real[:8])
        np.testing.assert_allclose(features[:8].detach(), alone.detach(), rtol=1e-6)
        results[corrected] = figures["triplet_loss"].item()
    eight = batch_hard(alone, targets[:8], margin=5.0).loss.item()
    assert results[True] == pytest.approx(eight)
    assert results[False] != pytest.approx(eight)


def test_corrected_keeps_empty_places_from_the_batch_norms():
    spec = NetSpec(backbone="small32", bnneck=True)
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    real = torch.tensor([True, True, True, True, True, False])
    images[5] = 0
    alone, corrected, published = (build(spec, seed=0).train() for _ in range(3))
    alone.pooled(images[:5])
    options = {"prepare": None, "optimise": None}
    for net, terms in ((corrected, CentroidTerms(corrected=True)), (published, CentroidTerms())):
        Centroid(net, CentroidHead(net.dim, 2, terms), terms, **options).features(images, real)
    statistics = [
        torch.cat([value.flatten() for name, value in net.named_buffers() if "running_mean" in name])
        for net in (alone, corrected, published)
    ]
    torch.testing.assert_close(statistics[0], statistics[1])
    assert not torch.allclose(statistics[0], statistics[2])


def test_centres_move_as_by_gradient_descent_on_their_loss():
    torch.manual_seed(2)
    centers = ClassCenters(DIM, CLASSES, 0.5)
    features, targets = torch.randn(7, DIM), torch.tensor([0, 0, 0, 1, 3, 3, 1])
    real = torch.tensor([True, True, False, True, True, True, True])
    parameter = centers.centers.clone().requires_grad_()
    class_centers(features[real], parameter, targets[real]).backward()
    wanted = parameter.detach() - 0.5 * parameter.grad
    before = centers.centers.clone()
    centers.move(centers.steps(features, targets, real), targets)
    torch.testing.assert_close(centers.centers, wanted)
    assert torch.equal(centers.centers[2], before[2])
    assert not torch.equal(centers.centers[0], before[0])


def test_an_overflown_feature_does_not_stay_in_a_centre():
    centers = ClassCenters(DIM, CLASSES)
    features = torch.full((2, DIM), torch.inf)
    features[1] = 1.0
    targets, real = torch.tensor([0, 1]), torch.ones(2).bool()
    centers.move(centers.steps(features, targets, real), targets)
    assert centers.centers.isfinite().all()


def test_a_step_moves_the_centres_whatever_the_weight(batch):
    moved = []
    for weight in (5e-4, 3.0):
        made = method(CentroidTerms(center=weight, instances=3))
        before = made.head.centers.centers.clone()
        made.training_step(batch, 0)
        moved.append(made.head.centers.centers - before)
    assert moved[0].abs().sum() > 0
    torch.testing.assert_close(*moved)
    assert not any("centers" in name for name, _ in made.head.named_parameters())
    assert any("centers" in name for name in made.state_dict())


def test_terms_without_weight_are_not_computed(batch):
    images, targets, real = batch
    made = method(CentroidTerms(triplet=0, centroid=0, center=0, instances=3))
    figures = made.learn(made.features(images, real), targets, real)
    assert set(figures) == {"loss", "accuracy", "class_loss"} == {*made.figures, *made.learned}
    assert made.head.centers is None


def test_further_losses_alone(batch):
    pytest.importorskip("pytorch_metric_learning")
    images, targets, real = batch
    made_loss = metric_learning("ContrastiveLoss", {}, None, {}, dim=DIM, classes=CLASSES)
    extra = [Extra("extra.0.ContrastiveLoss", 0.3, made_loss)]
    made = method(CentroidTerms(triplet=0, centroid=0, center=0, classes=0, instances=3), extra)
    figures = made.learn(made.features(images, real), targets, real)
    features = made.net.projection(made.net.pooled(images))
    wanted = 0.3 * made_loss(features[real], targets[real])
    assert figures["loss"].item() == pytest.approx(wanted.item(), rel=1e-5)
    assert set(figures) == {"loss", "extra.0.ContrastiveLoss"} == {*made.figures, *made.learned}
    assert made.logits(images) is None
    assert not made.bnneck.weight.requires_grad
    assert made.bnneck.num_batches_tracked == 1  # its statistics are the encoder's


def test_validation_is_by_the_classifier_without_smoothing(batch):
    images, targets, _ = batch
    made = method(CentroidTerms(instances=3)).eval()
    figures = made.judge(images, targets, False)
    logits = made.head.classifier(made.net(images))
    assert figures["loss"].item() == pytest.approx(functional.cross_entropy(logits, targets).item())
    assert set(figures) == set(made.figures)


def test_gradients_are_finite_under_half_precision(batch):
    images, targets, real = batch
    made = method(CentroidTerms(instances=3))
    with torch.autocast("cpu", torch.bfloat16):
        loss = made.training_step((images, targets, real), 0)
    assert loss.dtype == torch.float32
    loss.backward()
    for parameter in made.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()
