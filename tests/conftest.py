from pathlib import Path

import pytest
from hypothesis import settings

# `make test` draws the same examples every time, so that a commit has one verdict; `make test-all` explores.
settings.register_profile("repeatable", derandomize=True)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photos and pretrained networks beside the repository."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the real data are not beside this checkout (../shared/data)")
    return SHARED
