"""An index that is served."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from served import client_of, make_index


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the index; no test changes it."""
    return make_index(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def client(served: Path) -> Iterator[TestClient]:
    """A client that only reads."""
    with client_of(served) as client:
        yield client


@pytest.fixture
def changing(served: Path, tmp_path: Path) -> Path:
    """A copy of the index, to be changed."""
    return Path(shutil.copytree(served, tmp_path / "index"))
