"""What a run of the method quantization needs of a recipe, its photos and their tags."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perisphere.codes.metric import metric_root
from perisphere.encoder import Encoder
from perisphere.encoder.loading import batches
from perisphere.errors import PerisphereError, UsageError
from perisphere.methods import TagTargets
from perisphere.methods.learned_codes import fitted, lost
from perisphere.nets import EmbeddingNet
from perisphere.progress import bar
from perisphere.tags.tags import Tags
from perisphere.training.devices import Place
from perisphere.training.judge import embedded
from perisphere.training.loader import Loader
from perisphere.training.method_rules import QuantizationRule
from perisphere.training.modules import Tagged, plan_for
from perisphere.training.photos import Photos
from perisphere.training.recipe import Recipe
from perisphere.training.tagged_photos import TaggedData

ROUNDS = 5
"""Updates of the codebooks once the network is done."""


def recipe_for(recipe: Recipe, tags: Tags) -> Recipe:
    """Return the recipe with a network whose embeddings lie in the space of the tags.

    Raises:
        UsageError: its projection has another size, or there are more books than numbers.
    """
    rule = _rule(recipe)
    if recipe.net.projection not in (None, tags.dim):
        raise UsageError(
            f"'net.projection' is {recipe.net.projection}, but the tag vectors have {tags.dim} numbers. "
            "Leave net.projection out."
        )
    if rule.books > tags.dim:
        raise UsageError(
            f"'quantization.books' is {rule.books}, but the tag vectors have {tags.dim} numbers. "
            f"Set it to {tags.dim} at most."
        )
    net = recipe.net.model_copy(update={"projection": tags.dim})
    return recipe.model_copy(update={"net": net})


def check_photos(recipe: Recipe, data: TaggedData) -> None:
    """Refuse fewer photos than words.

    Raises:
        PerisphereError: there are fewer photos to learn from than words of a book.
    """
    rule = _rule(recipe)
    if len(data.train) < rule.words:
        raise PerisphereError(
            f"{len(data.train)} photos have a known tag to learn from, but a book has {rule.words} words. "
            f"Set quantization.words={max(2, len(data.train) // 4)}, or find more photos."
        )


def tagged(recipe: Recipe, data: TaggedData, tags: Tags, net: EmbeddingNet, place: Place) -> Tagged:
    """Return what the method learns from.

    Args:
        recipe: its section ``quantization``.
        data: the photos.
        tags: of them.
        net: that learns.
        place: the part of the devices that this process is.
    """
    targets = TagTargets.of_arrays(tags.vectors, data.indptr, data.indices)
    metric = _metric(_rule(recipe), tags)
    return Tagged(targets, len(data.train), metric, FreshFeatures(recipe, data.train, net, place))


class FreshFeatures:
    """Features of the photos to learn from, by the network as it is; each device makes its share.

    Args:
        recipe: input and batch size.
        photos: to learn from.
        net: left in the modes that it has.
        place: which device of how many this is.
    """

    def __init__(self, recipe: Recipe, photos: Photos, net: EmbeddingNet, place: Place) -> None:
        self.recipe, self.photos, self.net, self.place = recipe, photos, net, place
        self._loader: Loader | None = None

    def __call__(self) -> Tensor:
        """Return them, not normalised: float32 ``[n, d]``, on the network's device."""
        world = self.place.world
        if world > 1:  # the batch norms of each device saw other photos; the first one's are kept
            for buffer in self.net.buffers():
                torch.distributed.broadcast(buffer, 0)
        own = embedded(self.net, self._own())
        if world == 1:
            return own
        whole = own.new_zeros(-(-len(self.photos) // world), own.shape[1])
        whole[: len(own)] = own
        shares = [torch.empty_like(whole) for _ in range(world)]
        torch.distributed.all_gather(shares, whole)
        return torch.stack(shares, 1).flatten(0, 1)[: len(self.photos)]

    def _own(self) -> Loader:
        """Return the loader of this device's photos, made when it is first asked for."""
        if self._loader is None:
            recipe, place = self.recipe, self.place
            paths = self.photos.paths[place.rank :: place.world]
            order: dict[str, Any] = {"batch_size": recipe.batch_size, "seed": 0, "shuffle": False}
            own = Photos(paths, np.zeros(len(paths), np.int64))
            self._loader = Loader(
                own, recipe.input, cache_mb=recipe.cache_mb, workers=recipe.workers, **order
            )
        return self._loader


def refit(recipe: Recipe, folder: Path, data: TaggedData, tags: Tags, seed: int) -> None:
    """Fit the codebooks of an encoder to what it makes of the photos that it learned from.

    Those that it has were fitted to features of augmented photos, by networks of the steps before. Nothing
    is done to an encoder that has been through this.

    Args:
        recipe: its section ``quantization``.
        folder: of the encoder, which is written anew.
        data: its photos.
        tags: its tags.
        seed: of everything random.
    """
    encoder, rule = Encoder.load(folder), _rule(recipe)
    before = encoder.codebooks
    if before is not None and before.about.get("features") == "recomputed":
        return
    vectors = _features(encoder, data.train, recipe, unit=rule.unit)
    about = {**(before.about if before else {}), "features": "recomputed", "photos": len(vectors)}
    codebooks, codes = fitted(
        vectors,
        plan_for(rule),
        _metric(rule, tags),
        seed,
        words=None if before is None else before.words,
        rounds=ROUNDS,
        about={**about, "rounds": ROUNDS, "seed": seed, "tags": tags.fingerprint},
    )
    codebooks.about["error"] = lost(codebooks, vectors, codes)
    encoder.codebooks = codebooks
    encoder.save(folder, overwrite=True)


def _features(encoder: Encoder, photos: Photos, recipe: Recipe, *, unit: bool) -> NDArray[np.float32]:
    device = "cpu" if recipe.accelerator == "cpu" else None
    inference = encoder.inference(device=device, precision="float32", unit=unit)
    vectors = np.empty((len(photos), encoder.dim), np.float32)
    read = batches(photos.paths, inference.preprocessing, batch_size=256, workers=recipe.workers)
    with bar("fitting codebooks", len(photos)) as advance:
        for batch in read:
            if batch.failures:
                raise PerisphereError(batch.failures[0][1])
            vectors[batch.start : batch.stop] = inference(batch.pictures)
            advance(batch.stop - batch.start)
    return vectors


def _metric(rule: QuantizationRule, tags: Tags) -> NDArray[np.float32]:
    return metric_root(tags.unit if rule.unit else tags.vectors)


def _rule(recipe: Recipe) -> QuantizationRule:
    assert recipe.quantization is not None  # a recipe without is refused
    return recipe.quantization
