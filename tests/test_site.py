"""The documentation builds without a warning (pages, links, anchors) and fetches nothing from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from perisphere.training import packaged

pytest.importorskip("mkdocs", reason="the extra 'site' is not installed")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", out],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert built.returncode == 0, built.stderr[-4000:]
    return out


class Fetched(HTMLParser):
    """Collects what a browser would load by itself, which leaves out links that people click."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster") or (tag == "link" and name == "href"):
                self.addresses.append(value or "")


def test_nothing_is_fetched_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for path in pages:
        fetched = Fetched()
        fetched.feed(path.read_text())
        assert fetched.addresses
        assert not [address for address in fetched.addresses if re.match(r"(https?:)?//", address)], path.name
    for path in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()[\s\"']*(https?:)?//", path.read_text()), path.name


def test_the_anchors_that_readme_names_are_there(site):
    named = re.findall(r"\]\(docs/([a-z/-]+)\.md#([a-z-]+)\)", (ROOT / "README.md").read_text())
    assert named
    for page, anchor in named:
        assert f'id="{anchor}"' in (site / f"{page}.html").read_text(), (page, anchor)


def test_every_recipe_has_its_place(site):
    page = (site / "recipes.html").read_text()
    assert not [name for name in packaged() if f'id="{name}"' not in page]


def test_no_page_stands_twice_in_the_navigation():
    named = re.findall(r"^ +- (?:.*: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert len(named) > 30
    assert sorted(named) == sorted(set(named))


def test_every_page_of_the_guide_is_in_the_navigation(site):
    home = (site / "index.html").read_text()
    pages = [*(ROOT / "docs" / "guide").glob("*.md"), *(ROOT / "docs" / "tutorials").glob("*.md")]
    assert not [page.stem for page in pages if f'href="{page.parent.name}/{page.stem}.html"' not in home]


def test_what_the_guide_imports_is_in_the_reference(site):
    reference = "".join(path.read_text() for path in (site / "reference").glob("*.html"))
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    imports = re.findall(r"^from (perisphere\S*) import (.+)", "".join(p.read_text() for p in pages), re.M)
    named = {(module, name) for module, names in imports for name in names.split(", ")}
    assert len(named) > 5
    for module, name in named:
        assert re.search(rf'id="{re.escape(module)}\.(\w+\.)*{name}"', reference), f"{module}.{name}"
