"""The result sheet: frames, places, and what it does with gaps."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from coloured import COLOURS

from perisphere.errors import PerisphereError, UsageError
from perisphere.search import Answer, Result, draw_sheet, write_sheet
from perisphere.search import sheet as layout


def answer(photos: Path, label: str | None, labels: list[str | None]) -> Answer:
    results = tuple(
        Result(rank, rank, 0.9, 0.5, found, f"{found}/0.png", photos / (found or "sky") / "0.png")
        for rank, found in enumerate(labels, start=1)
    )
    return Answer(photos / "sky" / "1.png", label, results)


def corner(column: int, line: int = 0) -> tuple[int, int]:
    """The place of a result's tile."""
    x = layout.MARGIN + layout.TILE + layout.GUTTER + column * (layout.TILE + layout.GAP)
    return x, layout.HEADER + line * (layout.TILE + layout.CAPTION)


def frame(sheet: PIL.Image.Image, column: int, line: int = 0) -> object:
    x, y = corner(column, line)
    return sheet.getpixel((x + layout.TILE // 2, y + 2))


def middle(sheet: PIL.Image.Image, column: int, line: int = 0) -> np.ndarray:
    x, y = corner(column, line)
    half = layout.TILE // 2
    return np.asarray(sheet.crop((x + half - 20, y + half - 20, x + half + 20, y + half + 20))).mean((0, 1))


def test_right_ones_are_green_wrong_ones_red_unknown_ones_neutral(photos: Path) -> None:
    sheet = draw_sheet([answer(photos, "sky", ["sky", "brick", None])])
    assert [frame(sheet, column) for column in range(3)] == [layout.RIGHT, layout.WRONG, layout.LINE]
    unknown = draw_sheet([answer(photos, None, ["sky", "brick", None])])
    assert {frame(unknown, column) for column in range(3)} == {layout.LINE}


def test_the_photos_stand_in_their_places(photos: Path) -> None:
    sheet = draw_sheet([answer(photos, "sky", ["sky", "brick", "grass"])], columns=2)
    for place, label in enumerate(["sky", "brick", "grass"]):
        np.testing.assert_allclose(middle(sheet, place % 2, place // 2), COLOURS[label], atol=15)


def test_a_photo_keeps_its_proportions(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (100, 25), (200, 0, 0)).save(tmp_path / "wide.png")
    result = Result(1, 1, 0.5, None, None, "wide.png", tmp_path / "wide.png")
    sheet = draw_sheet([Answer(tmp_path / "wide.png", None, (result,))])
    x, y = corner(0)
    column = np.asarray(
        sheet.crop((x + layout.TILE // 2, y + 8, x + layout.TILE // 2 + 1, y + layout.TILE - 8))
    )
    red = (column[:, 0, 1] < 60).sum()
    assert red == pytest.approx((layout.TILE - 2 * layout.FRAME) / 4, abs=3)
    assert tuple(column[0, 0]) == layout.MAT


def test_rows_grow_with_queries_and_results(photos: Path) -> None:
    one = draw_sheet([answer(photos, "sky", ["sky"] * 5)])
    two = draw_sheet([answer(photos, "sky", ["sky"] * 5)] * 2)
    wrapped = draw_sheet([answer(photos, "sky", ["sky"] * 7)])
    assert one.width == two.width == wrapped.width
    assert two.height == one.height + layout.TILE + layout.CAPTION + layout.ROW_GAP
    assert wrapped.height == one.height + layout.TILE + layout.CAPTION


def test_gaps_are_drawn_not_raised(photos: Path) -> None:
    gone = Result(1, 7, 0.5, None, None, "gone.png", photos / "gone.png")
    nowhere = Result(2, 8, 0.4, None, "塔 Пётр\nand a label that does not fit", None, None)
    sheet = draw_sheet(
        [Answer(photos / "sky" / "0.png", None, (gone, nowhere)), Answer(photos / "no.png", "x", ())]
    )
    x, y = corner(0)
    assert sheet.getpixel((x + layout.TILE // 2, y + 40)) == layout.MAT
    caption = np.asarray(sheet.crop((x + layout.TILE, y, x + layout.TILE + layout.GAP, y + layout.TILE + 60)))
    assert (caption == 255).all(), "no text runs into the next tile"


@pytest.mark.parametrize(("name", "format"), [("a.jpg", "JPEG"), ("b.JPEG", "JPEG"), ("c.png", "PNG")])
def test_files(photos: Path, tmp_path: Path, name: str, format: str) -> None:
    write_sheet(tmp_path / name, [answer(photos, "sky", ["sky"])])
    with PIL.Image.open(tmp_path / name) as written:
        assert written.format == format
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_is_no_sheet(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.jpg or \.png"):
        write_sheet(tmp_path / "sheet.gif", [answer(photos, "sky", ["sky"])])
    with pytest.raises(UsageError, match="at least one"):
        draw_sheet([])
    with pytest.raises(UsageError, match="Ask for fewer"):
        draw_sheet([answer(photos, "sky", ["sky"])] * 300)
    (tmp_path / "file").write_text("")
    with pytest.raises((PerisphereError, OSError)):
        write_sheet(tmp_path / "file" / "sheet.png", [answer(photos, "sky", ["sky"])])


@pytest.mark.parametrize("text", ["Cathedral", "Cathédrale", "Fenêtre…", "\u0431\u043e\u0433", "Kościół"])
def test_every_letter_of_a_label_has_a_shape(text: str) -> None:
    font = layout._font(text, 18)
    missing = bytes(font.getmask("\uffff"))
    assert all(bytes(font.getmask(letter)) != missing for letter in text)
