import csv
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from perisphere.encoder import Encoder, Preprocessing
from perisphere.nets import NetSpec, build, input_spec
from perisphere.nets.pickled import read_checkpoint
from perisphere.nets.weights import load_into


@pytest.fixture(scope="module")
def places(shared: Path) -> tuple[list[bytes], np.ndarray]:
    """147 photos of 13 places."""
    with tarfile.open(shared / "data" / "places" / "places-640px.tar") as tar:
        names = [member.name for member in tar if member.name.endswith("images.csv")]
        listing = tar.extractfile(names[0]).read().decode()
        rows = list(csv.DictReader(io.StringIO(listing)))
        folder = str(Path(names[0]).parent)
        prefix = "" if folder == "." else f"{folder}/"
        photos = [tar.extractfile(prefix + row["name"]).read() for row in rows]
    return photos, np.array([row["place"] for row in rows])


def test_pretrained_squeezenet_finds_another_photo_of_the_place(
    shared: Path, places: tuple[list[bytes], np.ndarray]
) -> None:
    photos, labels = places
    assert len(photos) == 147
    net = build(NetSpec(backbone="squeezenet1_0"), seed=0)
    report = load_into(net, read_checkpoint(shared / "data" / "weights" / "squeezenet_v1.0.npz"))
    assert not report.missing
    encoder = Encoder(net, Preprocessing.for_architecture(input_spec("squeezenet1_0")), name="squeezenet")
    vectors = encoder.encode(photos)
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    recall = (labels[similarity.argmax(axis=1)] == labels).mean()
    assert recall > 0.80, f"leave-one-out recall@1 is {recall:.3f}"
