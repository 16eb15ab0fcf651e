"""From a recipe to the batches of a data set: of photos, or of what frozen layers made of them."""

from pathlib import Path
from typing import Any

from perisphere.errors import UsageError
from perisphere.nets import EmbeddingNet
from perisphere.training.cached import FeatureLoader, features, frozen_parts
from perisphere.training.concept_photos import ConceptData
from perisphere.training.devices import Place
from perisphere.training.identity_order import IdentityOrder
from perisphere.training.loader import Batches, Loader, Order, derive
from perisphere.training.method_rules import CentroidRule
from perisphere.training.pair_order import PairOrder
from perisphere.training.photos import LabelledData, Photos
from perisphere.training.recipe import Recipe
from perisphere.training.start import LearningNet
from perisphere.training.tuple_order import TupleOrder, embedder


def loaders(
    recipe: Recipe, number: int, data: LabelledData, net: LearningNet, place: Place, folder: Path
) -> tuple[Batches, Batches | None]:
    """Return the batches to learn from and those to choose the best epoch by, if there are photos for it.

    With ``freeze.cached`` the network begins behind its frozen parts from now on.

    Args:
        recipe: what is wished.
        number: of the data set, from 1.
        data: its photos.
        net: frozen as wished.
        place: the part of the devices that this process is.
        folder: for what frozen layers made of the photos.
    """
    seed = derive(recipe.seed, number)
    if recipe.freeze.cached:
        assert isinstance(net, EmbeddingNet)  # the recipe refuses others
        make = _of_features(recipe, net, place, folder)
    else:
        make = _of_photos(recipe, place)
    made = []
    for photos, train in ((data.train, True), (data.val, False)):
        if photos is not None:
            order = _order(recipe, photos, train, seed, data)
            steps = recipe.iterations if train else None
            options = {"shuffle": train, "seed": seed, "order": order, "steps": steps}
            loader = make(photos, train, options | {"group": 2 if isinstance(order, PairOrder) else 1})
            if isinstance(order, TupleOrder):
                assert isinstance(net, EmbeddingNet)
                order.embed = embedder(net, loader, recipe.input)
            made.append(loader)
    if isinstance(net, EmbeddingNet) and recipe.freeze.cached:
        net.start = frozen_parts(net)
    return made[0], made[1] if len(made) > 1 else None


def _order(recipe: Recipe, photos: Photos, train: bool, seed: int, data: LabelledData) -> Order | None:
    if isinstance(data, ConceptData):
        if train:
            return PairOrder(data.neighbours, seed)
        return (
            None
            if recipe.segmentation.correspondence is None
            else PairOrder(data.val_neighbours, seed, fixed=True)
        )
    if recipe.method == "centroid" and train:
        return _identities(recipe.centroid, photos, seed)
    if recipe.method == "tuples":
        return _tuples(recipe, photos, train, seed)
    return None


def _identities(rule: CentroidRule, photos: Photos, seed: int) -> IdentityOrder:
    return IdentityOrder(
        photos.targets,
        identities=rule.identities,
        instances=rule.instances,
        resample=rule.resample,
        seed=seed,
    )


def _tuples(recipe: Recipe, photos: Photos, train: bool, seed: int) -> TupleOrder:
    rule = recipe.tuples
    return TupleOrder(
        photos.targets,
        queries=rule.queries if train else len(photos),  # validation asks for every photo, among all of them
        pool=rule.pool if train else len(photos),
        negatives=rule.negatives,
        batch=recipe.batch_size // rule.width if train else 1,
        seed=seed,
        fixed=not train,
    )


def _of_photos(recipe: Recipe, place: Place) -> Any:
    margin = recipe.augmentation.margin
    height, width = recipe.input.size
    larger = recipe.input.at_size(round(height * margin), round(width * margin))

    def make(photos: Photos, train: bool, order: dict[str, Any]) -> Loader:
        return Loader(
            photos,
            larger if train else recipe.input,
            cache_mb=recipe.cache_mb,
            workers=recipe.workers,
            shorter=recipe.augmentation.shorter if train else None,
            batch_size=recipe.batch_size,
            rank=place.rank,
            world=place.world,
            **order,
        )

    return make


def _of_features(recipe: Recipe, net: EmbeddingNet, place: Place, folder: Path) -> Any:
    if place.world > 1:
        raise UsageError("'freeze.cached' is for one device; start one process, or set freeze.cached=false.")
    parts, flip = frozen_parts(net), recipe.augmentation.flip

    def make(photos: Photos, train: bool, order: dict[str, Any]) -> FeatureLoader:
        once = Loader(
            photos, recipe.input, cache_mb=0, workers=recipe.workers, batch_size=32, seed=0, shuffle=False
        )
        kept = features(
            net,
            parts,
            once,
            folder / ("train" if train else "val"),
            mirrored=train and flip > 0,
            dtype=recipe.freeze.cached_type,
            device="cpu" if recipe.accelerator == "cpu" else "auto",
        )
        return FeatureLoader(
            kept, photos.targets, flip=flip if train else 0.0, batch_size=recipe.batch_size, **order
        )

    return make
