"""From a recipe to an encoder: one Lightning run for each data set, one after another."""

import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from perisphere.encoder import Encoder, Scales
from perisphere.encoder.encoder import software
from perisphere.errors import PerisphereError, UsageError
from perisphere.methods import Quantization
from perisphere.nets import EmbeddingNet, SegmentationNet
from perisphere.storage import whole_file
from perisphere.tags.tags import Tags
from perisphere.taxonomy import ClassPoints
from perisphere.training import keeping, tag_learning
from perisphere.training.class_points import class_points, fingerprint, recipe_for, searchable
from perisphere.training.concept_learning import deciding_figure, left_out, segmentation_module, shown
from perisphere.training.concept_photos import ConceptData, concept_data
from perisphere.training.devices import Place
from perisphere.training.finetuning import NewLayersFirst
from perisphere.training.folder import HISTORY, read_checkpoint
from perisphere.training.freezing import freeze, frozen_norms
from perisphere.training.judge import MEAN_AP, retrieval_judge
from perisphere.training.loader import Batches, derive
from perisphere.training.loaders import loaders
from perisphere.training.modules import Learning, Module, Tagged, module_for
from perisphere.training.optimisation import optimisation
from perisphere.training.photos import LabelledData, labelled_data
from perisphere.training.prepare import Prepare
from perisphere.training.rates import Rates
from perisphere.training.recipe import Recipe
from perisphere.training.schedules import Plateau
from perisphere.training.start import LearningNet, starting_net
from perisphere.training.tagged_photos import TaggedData, tagged_data


@dataclass(frozen=True)
class Stage:
    """One data set of a run, and where it is kept.

    Attributes:
        number: from 1.
        folder: of its checkpoints.
        epochs: to train; 0 until the photos of an epoch are counted, where the recipe counts steps.
        data: its photos.
        points: of its classes and others, if the method is given any.
        tags: if the method learns from them.
    """

    number: int
    folder: Path
    epochs: int
    data: LabelledData
    points: ClassPoints | None
    tags: Tags | None

    @property
    def fingerprint(self) -> str:
        """What a run that goes on must find again: photos, class points and tags."""
        points = "" if self.points is None else f"-{fingerprint(self.points)}"
        return self.data.fingerprint + points

    @property
    def best(self) -> Path:
        """Folder of the best encoder so far."""
        return self.folder / "best"

    @property
    def done(self) -> Path:
        """File that says that this stage is complete."""
        return self.folder / "done.json"


def run(recipe: Recipe, place: Place, *, tell: Callable[[str], None] = lambda _: None) -> Path:
    """Train on every data set of the recipe in this process; go on where an earlier run stopped.

    Args:
        recipe: its folder was made by :func:`~perisphere.training.folder.prepare_folder`.
        place: the part of the devices that this process is.
        tell: takes notes for the user.

    Returns:
        The folder of the written encoder.
    """
    out = recipe.folder
    tags = None if recipe.quantization is None else Tags.load(recipe.quantization.tags)
    if tags is not None:
        recipe = tag_learning.recipe_for(recipe, tags)
    stages = [_stage(recipe, number, tags, tell) for number in range(1, len(recipe.data) + 1)]
    for points in (stage.points for stage in stages):
        recipe = recipe if points is None else recipe_for(recipe, points)
    net = starting_net(recipe, tell, stages[0].data.classes)
    encoder = None
    for stage in stages:
        if stage.done.is_file():
            _same_data(stage, json.loads(stage.done.read_text())["fingerprint"])
        else:
            _train_stage(recipe, stage, net, place)
        encoder = Encoder.load(stage.best)
        assert isinstance(encoder.net, EmbeddingNet | SegmentationNet)  # training writes no other
        net = encoder.net
    assert encoder is not None
    if place.rank == 0:
        encoder.save(out / "encoder", overwrite=(out / "encoder").exists())
    return out / "encoder"


def _stage(recipe: Recipe, number: int, tags: Tags | None, tell: Callable[[str], None]) -> Stage:
    data = recipe.data[number - 1]
    photos: LabelledData
    if recipe.method == "segmentation":
        rule = recipe.segmentation
        photos = concept_data(data, rule, recipe.input, recipe.seed, judge=recipe.judge, tell=tell)
        for note in left_out(rule, photos.classes, data.epochs or recipe.epochs):
            tell(note)
    elif tags is None:
        photos = labelled_data(data, recipe.seed, judge=recipe.judge, tell=tell)
    else:
        photos = tagged_data(data, tags, recipe.seed, judge=recipe.judge, tell=tell)
        tag_learning.check_photos(recipe, photos)
    alone = int((np.bincount(photos.train.targets) == 1).sum())
    if recipe.method == "centroid" and alone:
        tell(f"{alone} of {len(photos.classes)} identities have one photo to learn from and are never drawn.")
    points = recipe.class_points
    return Stage(
        number,
        recipe.folder / "checkpoints" / f"data-{number}",
        data.epochs or recipe.epochs or 0,
        photos,
        None if points is None else class_points(points, photos.classes),
        tags,
    )


def _same_data(stage: Stage, before: str) -> None:
    if before != stage.fingerprint:
        raise PerisphereError(
            f"{stage.folder}: the photos, class points or tags have changed since this run began, so it "
            "cannot go on. Begin another run with -o."
        )


def _train_stage(recipe: Recipe, stage: Stage, net: LearningNet, place: Place) -> None:
    from lightning.pytorch import Trainer

    _ready(recipe, net)
    kept = stage.folder / "features"
    train, val = loaders(recipe, stage.number, stage.data, net, place, kept)
    stage = replace(stage, epochs=train.epochs or stage.epochs)
    module = _method(recipe, stage, net, place)
    judged = stage.data.judged
    judge = None if judged is None else retrieval_judge(recipe, net, judged, place)
    by, since = _deciding(recipe, stage)
    best = keeping.Best(
        stage.best,
        lambda epoch, metrics: _encoder(recipe, stage, module, epoch, metrics),
        by=by,
        since=min(since, stage.epochs - 1),
    )
    checkpoints = keeping.Checkpoints(stage.folder, recipe.checkpoint_every)
    _check_checkpoint(stage, checkpoints.last, place)
    rates = _rates(recipe, stage)
    history = _history(recipe, stage)
    callbacks = [
        keeping.EpochLength(train),
        keeping.EpochSeeds(recipe.seed, stage.number),
        rates,
        *([NewLayersFirst(net, rates.first)] if rates.first and isinstance(net, EmbeddingNet) else []),
        keeping.FrozenNorms(frozen_norms(net, recipe.freeze)),
        keeping.Bar(len(train) * train.share * place.world),
        *([judge] if judge else []),
        *([shown(recipe, stage.data, net, history)] if isinstance(stage.data, ConceptData) else []),
        history,
        best,
        checkpoints,
    ]
    with quiet():
        trainer = Trainer(
            **place.trainer_options(),
            precision=f"{recipe.precision}-true" if recipe.precision == "32" else recipe.precision,
            max_epochs=stage.epochs + rates.first,
            gradient_clip_val=recipe.clip_gradient,
            callbacks=callbacks,
            default_root_dir=recipe.folder,
        )
        last = checkpoints.last if checkpoints.last.is_file() else None
        _fit(trainer, module, train, val, last)
    if place.rank == 0 and stage.tags is not None:
        assert isinstance(stage.data, TaggedData)
        tag_learning.refit(recipe, stage.best, stage.data, stage.tags, derive(recipe.seed, stage.number, 2))
    with quiet():
        trainer.strategy.barrier()
    if place.rank == 0:
        with whole_file(stage.done) as part:
            part.write_text(json.dumps({"fingerprint": stage.fingerprint, "best_epoch": best.epoch}) + "\n")
    shutil.rmtree(kept, ignore_errors=True)  # they serve this stage alone


def _deciding(recipe: Recipe, stage: Stage) -> tuple[str | None, int]:
    """Return the figure that alone decides which epoch is kept, if any does, and the first that may be."""
    if stage.data.judged is not None:
        return MEAN_AP, 0
    if isinstance(stage.data, ConceptData):
        return deciding_figure(recipe, stage.data)
    return None, 0


def _rates(recipe: Recipe, stage: Stage) -> Rates:
    """Return what sets the learning rates of a stage."""
    if isinstance(recipe.schedule, Plateau) and stage.data.val is None:
        raise UsageError(
            "'schedule': plateau watches the loss of validation photos, and there are none. "
            "Set data.0.val or data.0.val_fraction, or take another schedule."
        )
    init = recipe.finetune_init
    return Rates(
        recipe.schedule,
        recipe.optimizer.lr,
        epochs=stage.epochs,
        first=init.epochs if init else 0,
        first_lr=init.lr if init else None,
    )


def _fit(trainer: Any, module: Module, train: Batches, val: Batches | None, last: Path | None) -> None:
    try:
        trainer.fit(module, train, val, ckpt_path=last, weights_only=True)
    except SystemExit as stopped:  # Lightning's answer to Ctrl-C
        raise PerisphereError(
            f"stopped in epoch {trainer.current_epoch + 1}. Go on from its beginning with --resume."
        ) from stopped


def _check_checkpoint(stage: Stage, last: Path, place: Place) -> None:
    """Tie the checkpoints of a stage to its photos before the first one is written, and see that it reads."""
    if last.is_file():
        read_checkpoint(last)  # what Lightning makes of a damaged one is no line for a user
    tie = stage.folder / "data.json"
    if tie.is_file():
        _same_data(stage, json.loads(tie.read_text())["fingerprint"])
    elif place.rank == 0:
        with whole_file(tie) as part:
            part.write_text(
                json.dumps({"fingerprint": stage.fingerprint, "classes": stage.data.classes}) + "\n"
            )


def _history(recipe: Recipe, stage: Stage) -> keeping.History:
    path = recipe.folder / HISTORY
    rows = json.loads(path.read_text()) if path.is_file() else []
    before = [row for row in rows if row["data"] < stage.number]
    return keeping.History(path, recipe.folder / "tensorboard" / f"data-{stage.number}", before, stage.number)


def _ready(recipe: Recipe, net: LearningNet) -> None:
    """Bring a network to where its training begins."""
    net.requires_grad_(True)
    if net.bnneck is not None:
        net.bnneck.bias.requires_grad_(False)
    freeze(net, recipe.freeze)
    net.train()
    _channels_last(net)


def _method(recipe: Recipe, stage: Stage, net: LearningNet, place: Place) -> Module:
    module = _module(recipe, stage, net, place)
    if recipe.norm_momentum is not None:
        _set_norm_momentum(module, recipe.norm_momentum)
    return module


def _module(recipe: Recipe, stage: Stage, net: LearningNet, place: Place) -> Module:
    if isinstance(net, SegmentationNet):
        assert isinstance(stage.data, ConceptData)
        return segmentation_module(recipe, net, stage.data, place)
    classes, points = stage.data.classes, stage.points
    learning = Learning(
        net,
        len(classes),
        None if points is None else torch.from_numpy(points.points[points.rows_of(classes)]).float(),
        derive(recipe.seed, stage.number, 1),
        Prepare(recipe.input, recipe.augmentation, place.rank, place.world),
        lambda head: optimisation(recipe, net, head),
        _tagged(recipe, stage, net, place),
    )
    return module_for(recipe, learning)


def _tagged(recipe: Recipe, stage: Stage, net: EmbeddingNet, place: Place) -> Tagged | None:
    if stage.tags is None:
        return None
    assert isinstance(stage.data, TaggedData)
    return tag_learning.tagged(recipe, stage.data, stage.tags, net, place)


def _set_norm_momentum(module: Module, share: float) -> None:
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    if not norms:
        raise UsageError("'norm_momentum': there is no batch norm in this network. Leave it out.")
    for norm in norms:
        norm.momentum = share


def _channels_last(net: LearningNet) -> None:
    """Lay the convolutions out as the pictures are: a fifth faster for small maps on processors."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)


def _encoder(recipe: Recipe, stage: Stage, module: Module, epoch: int, metrics: dict[str, float]) -> Encoder:
    provenance = {
        "recipe": recipe.model_dump(mode="json"),
        "data": stage.data.fingerprint,
        "photos": len(stage.data.train),
        "classes": len(stage.data.classes),
        "seed": recipe.seed,
        "epoch": epoch,
        "epochs": stage.epochs,
        "software": software(),
    }
    classes = stage.points
    if classes is not None and not searchable(classes, recipe.hierarchy.loss if recipe.hierarchy else "mse"):
        classes = None
    codebooks = None
    if isinstance(module, Quantization):
        provenance |= {"tags": len(module.targets.vectors)}
        codebooks = module.codes.codebooks({"method": "quantization", "epoch": epoch})
    return Encoder(
        module.net,
        recipe.input,
        name=recipe.name,
        provenance=provenance,
        metrics=metrics,
        scales=Scales(views=recipe.views),
        classes=classes,
        tags=stage.tags,
        codebooks=codebooks,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's tips to itself; its errors still come through."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    loggers += [
        logging.getLogger("lightning.pytorch.utilities.rank_zero"),
        logging.getLogger("torch.distributed"),
    ]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
