"""An Encoder of SIFT and VLAD, its vocabulary learned from a catalog."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from perisphere.catalog import Catalog
from perisphere.codes import VladNet, VladSpec, fit_vocabulary
from perisphere.codes.vocabulary import PER_WORD
from perisphere.encoder.encoder import Encoder
from perisphere.encoder.loading import batches, cores
from perisphere.encoder.preprocessing import Preprocessing
from perisphere.errors import PerisphereError
from perisphere.progress import bar

PER_IMAGE = 100
"""Descriptors that each picture gives to the sample at least, which bounds how many pictures are read."""
BATCH = 32


def fit_vlad(
    catalog: Catalog,
    spec: VladSpec | None = None,
    *,
    size: int = 1024,
    sample: int | None = None,
    seed: int = 0,
    name: str = "vlad",
    workers: int = 0,
) -> Encoder:
    """Learn a vocabulary from photos and return the Encoder that describes photos by it.

    Photos are read one batch after another, so many as the sample needs, drawn at random.

    Args:
        catalog: the photos to learn from; their boxes play no part.
        spec: words, key points and normalisations.
        size: longer side in pixels to which photos are shrunk, here and when embedding.
        sample: descriptors that the words are learned from; by default 1,000 a word.
        seed: of the photos, the descriptors and the first words.
        name: of the Encoder.
        workers: threads; 0 means one a core.

    Raises:
        PerisphereError: no photo, or fewer key points than words.
    """
    spec = spec or VladSpec()
    if not len(catalog):
        raise PerisphereError(f"the catalog of {catalog.root} has no images; read a folder that has some.")
    net = VladNet(spec)
    preprocessing = Preprocessing(
        size=(size, size), resize="long", interpolation="area", scale=1.0, mean=(0, 0, 0), std=(1, 1, 1)
    )
    encoder = Encoder(net, preprocessing, name=name)
    sample = sample or PER_WORD * spec.words
    paths = catalog.paths()
    order = np.random.default_rng(seed).permutation(len(paths))[: -(-sample // PER_IMAGE)]
    read = _descriptors(encoder, [paths[row] for row in order], workers)
    vocabulary = fit_vocabulary(read, spec.words, images=len(order), sample=sample, seed=seed)
    net.vocabulary.copy_(torch.from_numpy(vocabulary))
    encoder.provenance = {"vocabulary": {"photos": len(order), "sample": sample, "seed": seed}}
    return encoder


def _descriptors(encoder: Encoder, paths: list, workers: int) -> Iterator[np.ndarray]:
    """Yield the local descriptors of each picture that can be read."""
    net = encoder.net
    assert isinstance(net, VladNet)
    threads = workers or cores()
    with ThreadPoolExecutor(threads, thread_name_prefix="sift") as pool, bar("SIFT", len(paths)) as advance:
        for batch in batches(paths, encoder.preprocessing, batch_size=BATCH, workers=workers):
            yield from pool.map(net.local, batch.pictures)
            advance(batch.stop - batch.start)
