from pathlib import Path

import pytest
from photos import write_photo

from perisphere.catalog.readers import read
from perisphere.catalog.readers.file_names import class_of


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("all_souls_000013", "all_souls"),
        ("paris_eiffel_000012", "paris_eiffel"),
        ("x_1", "x"),
        ("plain", None),
        ("_1", None),
        ("st.mary_s_2", "st.mary_s"),
    ],
)
def test_the_class_is_all_before_the_last_underscore(name: str, label: str | None) -> None:
    assert class_of(name) == label


def test_folders_play_no_part_and_dots_are_fine(tmp_path: Path) -> None:
    for name in ("a/all_souls_000013.jpg", "b/all_souls_000014.PNG", "st.mary_2.jpg", "plain.jpg"):
        write_photo(tmp_path / name)
    found = read("names", tmp_path)
    assert dict(found.table.select("path", "label").rows()) == {
        "a/all_souls_000013.jpg": "all_souls",
        "b/all_souls_000014.PNG": "all_souls",
        "st.mary_2.jpg": "st.mary",
        "plain.jpg": None,
    }
    assert found.splits() == []
