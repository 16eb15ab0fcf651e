"""Pseudo masks of the method segmentation, and what its loss is the sum of."""

import numpy as np
import torch

from perisphere.losses.pseudo_masks import labelled_masks, pseudo_masks
from perisphere.methods.segmentation import MaskTerms, Segmentation, SegmentationTerms, Views, pseudo_truth
from perisphere.nets import SegmentationSpec, build_segmentation
from perisphere.nets.conv_block import resized
from perisphere.nets.pamr import refine
from perisphere.nets.segmentation import Maps

TERMS = MaskTerms(1.0, 0, (1, 2), 3, 0.7, 0.6, 0.2)


def test_refining_the_shown_channels_alone_gives_what_refining_all_does():
    draws = torch.Generator().manual_seed(0)
    masks = (3 * torch.randn(4, 6, 7, 5, generator=draws)).softmax(1)
    colours = torch.rand(4, 3, 20, 16, generator=draws)
    labels = torch.tensor([[0, 0, 1, 0, 0], [1, 0, 0, 1, 1], [0, 0, 0, 0, 0], [0, 1, 1, 0, 0]])
    whole = resized(refine(resized(colours, masks.shape[2:]), masks, (1, 2), 3), colours.shape[2:])
    wanted = pseudo_masks(labelled_masks(whole, labels), 0.7, 0.6, 0.2)
    found = pseudo_truth(masks, colours, labels, TERMS)
    assert found.shape == wanted.shape == (4, 6, 20, 16)
    assert torch.equal(found, wanted)
    assert found[1].sum((1, 2)).count_nonzero() > 1
    assert not found[:, 1:][labels == 0].any(), "channels of concepts that are not there stay empty"


def test_one_pixel_belongs_to_one_channel():
    masks = torch.rand(3, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    found = pseudo_truth(masks, torch.rand(3, 3, 12, 12), torch.ones(3, 3, dtype=torch.uint8), TERMS)
    assert found.sum(1).max() <= 1
    assert set(np.unique(found.numpy())) <= {0.0, 1.0}


def test_large_maps_of_half_precision_leave_the_loss_finite(monkeypatch):
    net = build_segmentation(SegmentationSpec(backbone="squeezenet1_0", width=8), seed=0)
    terms = SegmentationTerms(0.0, "cross_entropy", None, None, None)
    module = Segmentation(net, terms, prepare=lambda *_: None, optimise=lambda: None)
    features = torch.ones(2, 8, 80, 80, dtype=torch.half, requires_grad=True)  # they add up to 102,400
    none = torch.zeros(2, 0)
    found = Maps(none, none[..., None, None], none[..., None, None], features)
    monkeypatch.setattr(module, "_found", lambda _: found)
    views = Views(torch.zeros(2, 3, 8, 8), None, torch.zeros(2, 0), torch.full((2,), -1), None, None, 0)
    loss = module.training_step(views, 0)
    loss.backward()
    assert loss.item() == 0
    assert not features.grad.any()
