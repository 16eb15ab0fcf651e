"""The page in a browser: every action, on an index of generated photos."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import page_world
import pytest
import served
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from perisphere.catalog import Catalog

IMAGES = page_world.LANDMARKS * page_world.PHOTOS
TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = page_world.browser()
    if path is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Path:
    folder = tmp_path_factory.mktemp("page")
    page_world.make_world(folder)
    return folder


@pytest.fixture(scope="module")
def address(world: Path) -> Iterator[str]:
    with page_world.serving(world / "index", read_only=True) as address:
        yield address


@pytest.fixture(scope="module")
def photos(world: Path) -> list[Path]:
    return Catalog.load(world / "catalog").paths()


def opened(chromium: Browser, address: str, **options: Any) -> Page:
    """A page that fails the test where it asks for anything elsewhere, or where a script fails."""
    context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    context.set_default_timeout(10_000)
    page = context.new_page()
    strange: list[str] = []
    origin = address.partition("#")[0]
    page.on("pageerror", lambda error: strange.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith(origin) else strange.append(sent.url))
    page.strange = strange  # type: ignore[attr-defined]
    page.goto(address)
    settled(page)
    return page


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    page = opened(chromium, address)
    yield page
    assert page.strange == []  # type: ignore[attr-defined]
    page.context.close()


def settled(page: Page) -> None:
    """Wait until the last question is answered."""
    page.locator('body:not(.busy) #results[aria-busy="false"]').wait_for()


def ids(page: Page) -> list[int]:
    return [int(card.get_attribute("data-id") or 0) for card in page.locator(".card").all()]


def hash_of(page: Page) -> str:
    return page.url.partition("#")[2]


def sent(page: Page, files: Any) -> None:
    page.set_input_files("#file", files)
    page.locator(".chip").first.wait_for()
    settled(page)


def asked(page: Page, words: str) -> None:
    page.get_by_label("Words", exact=True).fill(words)
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url("**words=**")
    settled(page)


def test_the_first_sight_is_all_photos(page: Page) -> None:
    expect(page.locator("#status")).to_have_text(f"{IMAGES} photos")
    assert page.locator(".card").count() == IMAGES
    assert page.title() == "index · Perisphere"
    expect(page.locator(".card img").first).to_have_js_property("complete", True)


def test_a_photo_that_is_chosen(page: Page, photos: list[Path]) -> None:
    sent(page, photos[4])
    assert ids(page)[0] == 5  # the very photo
    assert "like=upload" in hash_of(page)
    expect(page.locator("#status")).to_contain_text(f"results of {IMAGES} photos")
    page.get_by_role("button", name="Leave out your photo").click()
    settled(page)
    expect(page.locator("#query")).to_be_hidden()
    assert hash_of(page) == ""


@pytest.mark.parametrize(("kind", "carrier"), [("drop", "dataTransfer"), ("paste", "clipboardData")])
def test_a_photo_that_is_dropped_or_pasted(page: Page, photos: list[Path], kind: str, carrier: str) -> None:
    page.evaluate(
        """([bytes, kind, carrier]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "photo.jpg", { type: "image/jpeg" }));
            const fields = { bubbles: true, cancelable: true, [carrier]: data };
            const Kind = kind === "paste" ? ClipboardEvent : DragEvent;
            const make = (name) => new Kind(name, fields);
            if (kind === "drop") document.body.dispatchEvent(make("dragenter"));
            document.body.dispatchEvent(make(kind));
        }""",
        [list(photos[7].read_bytes()), kind, carrier],
    )
    page.locator(".chip").wait_for()
    settled(page)
    assert ids(page)[0] == 8
    expect(page.locator("#drop")).to_be_hidden()


def test_what_is_no_photo_is_told(page: Page, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    page.set_input_files("#file", tmp_path / "text.jpg")
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#status")).to_have_text(f"{IMAGES} photos")


def test_a_region_by_pointer(page: Page, photos: list[Path]) -> None:
    sent(page, photos[0])
    whole = ids(page)
    box = page.locator(".stage .frame").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.9 * box["height"], steps=4)
    page.mouse.up()
    page.wait_for_url(re.compile("upload%40"))
    settled(page)
    drawn = [float(share) for share in re.findall(r"%40([\d.%C]+)%3A", hash_of(page))[0].split("%2C")]
    assert drawn == pytest.approx([0.3, 0.2, 0.6, 0.9], abs=0.03)
    assert ids(page) != whole
    page.get_by_role("button", name="Use the whole photo").click()
    settled(page)
    assert ids(page) == whole


def test_a_region_by_touch(chromium: Browser, address: str) -> None:
    page = opened(
        chromium,
        f"{address}/#like=id:3",
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
    )
    box = page.locator(".stage .frame").bounding_box()
    assert box is not None
    device = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": finger}
            for finger, (x, y) in enumerate(places)
        ]
        device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (0.2, 0.2))
    touch("touchMove", (0.5, 0.6))
    touch("touchStart", (0.5, 0.6), (0.9, 0.1))  # another finger changes nothing
    touch("touchMove", (0.5, 0.6), (0.1, 0.9))
    touch("touchMove", (0.7, 0.8), (0.1, 0.9))
    touch("touchEnd")
    page.wait_for_url("**like=id%40**")
    settled(page)
    drawn = [float(share) for share in re.findall(r"%40([\d.%C]+)%3A", hash_of(page))[0].split("%2C")]
    assert drawn == pytest.approx([0.2, 0.2, 0.7, 0.8], abs=0.03)
    assert page.strange == []  # type: ignore[attr-defined]
    page.context.close()


def test_a_region_by_keys(page: Page) -> None:
    page.goto(page.url.partition("#")[0] + "#like=id:3")
    settled(page)
    frame = page.locator(".stage .frame")
    frame.focus()
    frame.press("Enter")
    page.wait_for_url("**id%400.25**")
    settled(page)
    page.locator(".stage .frame").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.wait_for_url("**id%400.27%2C0.25%2C0.77%2C0.77**")
    settled(page)
    expect(page.locator("#part")).to_have_text("A part of the photo: 27 to 77 % across, 25 to 77 % down.")
    page.locator(".stage .frame").press("Delete")
    page.wait_for_url("**#like=id%3A3")


def test_words(page: Page) -> None:
    asked(page, "portal")
    captions = [found.inner_text().lower() for found in page.locator(".card .open").all()[:2]]
    assert captions
    expect(page.locator("#notes")).to_contain_text("concepts: portal")
    asked(page, "portal zyxwv")
    expect(page.locator("#notes")).to_contain_text("The index does not know “zyxwv”")


def test_the_tree_of_categories_and_filters(page: Page) -> None:
    tree = page.locator("#tree")
    first = tree.locator("ul .node").first
    first.click()
    settled(page)
    expect(page.locator("#status")).to_have_text(f"{page_world.PHOTOS} photos")
    assert tree.locator("ul ul .node").count() > 0
    narrower = tree.locator("ul ul .node").first
    count = int(narrower.locator(".count").inner_text())
    narrower.click()
    settled(page)
    assert page.locator(".card").count() == count
    tree.get_by_role("button", name="Everything").click()
    settled(page)
    label = page.locator(".facet").filter(has_text="Label").locator("label").first
    count = int(label.locator(".count").inner_text())
    label.click()
    settled(page)
    assert "is.label=" in hash_of(page)
    assert page.locator(".card").count() == count
    concepts = page.locator(".facet").filter(has_text="Concepts").locator("label").first
    count = int(concepts.locator(".count").inner_text())
    concepts.click()
    settled(page)
    assert 0 < page.locator(".card").count() == count < page_world.PHOTOS


def test_where_relevance_ends(chromium: Browser, tmp_path: Path) -> None:
    with page_world.serving(served.make_index(tmp_path), read_only=True) as address:
        page = opened(chromium, f"{address}/#like=id:1")
        above = page.locator(".ends").evaluate("line => [...line.parentElement.children].indexOf(line)")
        assert above == served.EACH - 1  # the others of its colour
        expect(page.locator("#status")).to_contain_text(f"the first {above} are likely to be relevant")
        sure = [int(text.split()[0]) for text in page.locator(".card .score").all_inner_texts()]
        assert all(share >= 50 for share in sure[:above])
        assert all(share < 50 for share in sure[above:])
        page.goto(f"{address}/#like=id:1&k={above}")  # where it ends is not among them
        settled(page)
        expect(page.locator(".ends")).to_have_count(0)
        expect(page.locator("#status")).to_contain_text("all are likely to be relevant")
        page.context.close()


def test_details_masks_and_matching_points(page: Page) -> None:
    page.goto(page.url.partition("#")[0] + "#like=id:1")
    settled(page)
    page.locator(".card .open").first.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("dd").first).to_be_visible()
    expect(dialog.locator("dl")).to_contain_text("categories")
    dialog.get_by_role("button", name="Parts").click()
    expect(dialog.locator(".mask")).to_have_js_property("complete", True)
    assert dialog.locator(".mask").evaluate("image => image.naturalWidth") > 0
    expect(dialog.locator(".legend li").first).to_be_visible()
    dialog.get_by_role("button", name="Matching points").click()
    expect(dialog.locator(".lines line").first).to_be_attached()
    name = dialog.get_by_role("heading").inner_text()
    dialog.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    expect(dialog.get_by_role("heading")).to_have_text(name)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator(".card .open").first).to_be_focused()


def test_several_results_are_searched_with_together(page: Page) -> None:
    first, second = ids(page)[:2]
    for place in (0, 1):
        page.locator(".card").nth(place).hover()
        page.locator(".card input").nth(place).check()
    expect(page.locator("#selection .count")).to_have_text("2 selected")
    page.get_by_role("button", name="Search with these").click()
    page.wait_for_url(f"**#like=id%3A{first}&like=id%3A{second}")
    settled(page)
    assert not {first, second} & set(ids(page))
    assert page.locator(".chip").count() == 2


def test_wrong_results_are_counter_examples(page: Page) -> None:
    page.goto(page.url.partition("#")[0] + "#like=id:1")
    settled(page)
    before = ids(page)
    page.locator(".card").first.hover()
    page.locator(".card .wrong").first.click()
    page.wait_for_url(f"**&unlike=id%3A{before[0]}")
    settled(page)
    assert ids(page) != before
    assert before[0] not in ids(page)[:1]
    expect(page.locator(".chip.unlike")).to_have_count(1)
    page.locator(".chip.unlike button").last.click()
    settled(page)
    assert ids(page) == before


def test_among_centroids(page: Page) -> None:
    page.goto(page.url.partition("#")[0] + "#like=id:1")
    settled(page)
    page.get_by_role("radio", name="Labels, one result each").check()
    settled(page)
    assert page.locator(".card").count() == page_world.LANDMARKS
    expect(page.locator(".card .score").first).to_contain_text(f"{page_world.PHOTOS} photos")
    page.locator(".card .open").first.click()
    page.get_by_role("dialog").get_by_role("button", name="More like this").click()
    page.wait_for_url("**like=label**")


def test_the_address_is_the_query(page: Page, chromium: Browser, address: str) -> None:
    page.goto(f"{address}/#like=id:2&unlike=id:9&k=7")
    settled(page)
    found = ids(page)
    assert len(found) == 7
    asked(page, "portal")
    page.go_back()
    settled(page)
    expect(page.get_by_label("Words", exact=True)).to_have_value("")
    assert ids(page) == found
    other = opened(chromium, f"{address}/#like=id:2&unlike=id:9&k=7")
    assert ids(other) == found
    other.context.close()


def test_a_photo_that_is_gone_is_told(page: Page) -> None:
    page.goto(page.url.partition("#")[0] + "#like=upload:gone")
    expect(page.get_by_role("alert")).to_contain_text("not here any more")
    expect(page.locator("#query .hint")).to_contain_text("Choose it again")
    expect(page.get_by_role("alert").get_by_role("button")).to_have_text("Choose a photo")
    expect(page.locator("#query img")).to_have_count(0)


def test_keys_go_about_the_grid(page: Page) -> None:
    page.locator(".card .open").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".card .open").nth(1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    place = page.evaluate("[...document.querySelectorAll('.open')].indexOf(document.activeElement)")
    assert place > 2
    page.keyboard.press("ArrowUp")
    expect(page.locator(".card .open").nth(1)).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator(".card input").nth(1)).to_be_checked()
    page.keyboard.press("End")
    expect(page.locator(".card .open").last).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Words", exact=True)).to_be_focused()


def test_the_focus_and_what_is_unfolded_stay(page: Page) -> None:
    page.goto(page.url.partition("#")[0] + "#like=id:1")
    settled(page)
    page.locator("#tree .fold").first.click()
    tick = page.locator(".facet").filter(has_text="Concepts").locator("input").first
    tick.focus()
    tick.press("Space")
    page.wait_for_url("**is.concepts=**")
    settled(page)
    expect(page.locator(".facet input:checked")).to_be_focused()
    expect(page.locator("#tree .fold").first).to_have_attribute("aria-expanded", "true")
    page.locator(".card .open").last.focus()
    marked = ids(page)[-1]
    page.keyboard.press("w")
    page.wait_for_url(f"**unlike=id%3A{marked}**")
    settled(page)
    expect(page.locator("#results :focus")).to_have_count(1)


def test_results_are_stepped_through_in_one_view(page: Page) -> None:
    page.locator(".card .open").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Previous result")).to_be_disabled()
    expect(dialog.get_by_role("link", name="Download")).to_have_attribute("href", "/images/1/original")
    dialog.get_by_role("button", name="Parts").click()
    dialog.get_by_role("button", name="Next result").press("Enter")
    expect(dialog.get_by_role("button", name="Next result")).to_be_focused()
    expect(dialog.get_by_role("button", name="Parts")).to_have_attribute("aria-pressed", "true")
    expect(dialog.locator(".mask")).to_have_attribute("src", "/images/2/mask")


def test_several_photos_are_one_query(page: Page, photos: list[Path]) -> None:
    sent(page, photos[2:4])
    expect(page.locator(".chip.like")).to_have_count(2)
    assert set(ids(page)[:2]) == {3, 4}
    page.locator(".chip button").nth(2).click()
    shown = page.locator(".stage img").get_attribute("src")
    assert shown == page.locator(".chip img").nth(1).get_attribute("src")


def test_a_part_of_a_result_is_searched_with(page: Page) -> None:
    page.locator(".card .open").nth(4).click()
    page.get_by_role("dialog").get_by_role("button", name="Search with a part of it").click()
    page.wait_for_url("**#like=id%400.25%2C0.25%2C0.75%2C0.75%3A5")
    settled(page)
    expect(page.locator(".stage .region")).to_be_visible()


def test_more_results_on_demand(page: Page) -> None:
    page.goto(page.url.partition("#")[0] + "#like=id:1&k=5")
    settled(page)
    few = ids(page)
    page.get_by_role("button", name="Show more").click()
    page.wait_for_url("**k=53")
    settled(page)
    assert ids(page)[:5] == few
    assert page.locator(".card").count() == IMAGES - 1
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    expect(page.locator(".card .open").nth(5)).to_be_focused()


def test_classes_and_words_that_the_encoder_knows(chromium: Browser, tmp_path: Path) -> None:
    with page_world.serving(served.make_index(tmp_path, page_world.knowing()), read_only=True) as address:
        page = opened(chromium, address)
        page.get_by_role("button", name="Below things").click()
        page.get_by_role("button", name="Search for sky").click()
        page.wait_for_url("**#like=class%3A3")
        settled(page)
        expect(page.locator(".chip")).to_have_text("sky")
        assert page.locator(".card .label").all_inner_texts()[: served.EACH] == ["sky"] * served.EACH
        page.get_by_role("button", name="Leave out sky").click()
        page.get_by_label("How words are taken").select_option("by meaning")
        page.get_by_label("Words", exact=True).fill("grass Gras")
        page.get_by_label("Words", exact=True).press("Enter")
        expect(page.locator("#notes")).to_contain_text("The index does not know “gras”. Did you mean grass")
        page.locator("#notes").get_by_role("button", name="grass").click()
        page.wait_for_url("**#like=text%3Agrass+grass")  # the whole word alone
        settled(page)
        assert page.locator(".card .label").first.inner_text() == "grass"
        assert page.strange == []  # type: ignore[attr-defined]
        page.context.close()


def test_results_do_not_wait_for_the_tree(page: Page) -> None:
    held: list[Route] = []
    page.route("**/classes", lambda route: held.append(route))
    page.reload()
    settled(page)
    assert page.locator(".card").count() == IMAGES
    expect(page.locator("#tree")).to_be_hidden()
    held[0].continue_()
    expect(page.locator("#tree ul .node").first).to_be_visible()


def test_what_is_asked_before_the_page_is_ready_is_answered_then(page: Page) -> None:
    held: list[Route] = []
    page.route("**/about", lambda route: held.append(route))
    page.reload()
    words = page.get_by_label("Words", exact=True)
    words.fill("portal")
    words.press("Enter")
    page.wait_for_url("**#words=portal")
    held[0].continue_()
    expect(page.locator("#status")).to_contain_text("result")
    expect(words).to_have_value("portal")


def test_words_that_are_being_typed_stay(page: Page) -> None:
    words = page.get_by_label("Words", exact=True)
    words.fill("por")
    page.locator(".facet").filter(has_text="Label").locator("input").first.check()
    page.wait_for_url("**#is.label=**")
    settled(page)
    expect(words).to_have_value("por")


def test_a_category_that_is_gone_is_told(page: Page) -> None:
    page.goto(page.url.partition("#")[0] + "#in=nowhere")
    expect(page.get_by_role("alert")).to_contain_text("no photos in the category nowhere")
    page.locator("#tree").get_by_role("button", name="Everything").click()
    expect(page.locator("#status")).to_have_text(f"{IMAGES} photos")


def test_a_photo_that_cannot_be_shown(page: Page) -> None:
    page.route("**/images/2/thumbnail?size=320", lambda route: route.abort())
    page.reload()
    expect(page.locator(".card").nth(1)).to_contain_text("no photo")


def test_skipping_to_the_results_keeps_the_query(page: Page) -> None:
    page.goto(page.url.partition("#")[0] + "#like=id:1")
    settled(page)
    page.get_by_role("link", name="Skip to the results").press("Enter")
    expect(page.locator("#results")).to_be_focused()
    assert hash_of(page) == "like=id:1"


NAMED = {
    "button",
    "link",
    "checkbox",
    "radio",
    "searchbox",
    "textbox",
    "combobox",
    "dialog",
    "image",
    "application",
}


def nameless(page: Page) -> list[Any]:
    """What a screen reader would find without a name, as the browser itself reckons names."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")
    return [
        node
        for node in tree["nodes"]
        if not node["ignored"] and node["role"]["value"] in NAMED and not node["name"]["value"].strip()
    ]


CONTRAST = """() => {
    const parse = (colour) => {
        const canvas = new OffscreenCanvas(1, 1).getContext('2d');
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => [r, g, b].map((value) => value / 255)
        .map((value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
    const behind = (element) => {
        for (; element; element = element.parentElement) {
            const colour = parse(getComputedStyle(element).backgroundColor);
            if (colour[3] === 255) return colour;
        }
        return parse('white');
    };
    const faults = [];
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.checkVisibility({ opacityProperty: true })) continue;
        const [one, other] = [parse(getComputedStyle(element).color), behind(element)].map(light);
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (ratio < 4.5) faults.push(`${ratio.toFixed(2)} ${element.outerHTML.slice(0, 100)}`);
    }
    return faults;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(390, 844), (820, 1180), (1440, 900)])
def test_it_fits_is_named_and_can_be_read(
    chromium: Browser, address: str, scheme: Any, size: tuple[int, int]
) -> None:
    """Names of all controls, WCAG's contrast of 4.5 (AA), and nothing wider than the screen."""
    viewport = {"width": size[0], "height": size[1]}
    page = opened(chromium, f"{address}/#like=id:1&unlike=id:9", viewport=viewport, color_scheme=scheme)
    page.locator(".card input").first.check(force=True)
    for part in ("results", "details"):
        if part == "details":
            page.locator(".card .open").first.click()
            page.locator("#details dd").first.wait_for()
        assert nameless(page) == []
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.context.close()


def test_a_phone_has_its_filters_in_a_drawer(chromium: Browser, address: str) -> None:
    page = opened(chromium, address, viewport={"width": 390, "height": 844})
    expect(page.locator("#filters")).to_be_hidden()
    page.get_by_role("button", name="Categories and filters").click()
    expect(page.locator("#filters :focus")).to_have_count(1)
    for _ in range(60):  # what lies behind is out of reach
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.matches('body, #filters *')")
    page.locator("#tree ul .node").first.click()
    page.get_by_role("button", name="Show results").click()
    expect(page.locator("#filters")).to_be_hidden()
    expect(page.locator("#status")).to_have_text(f"{page_world.PHOTOS} photos")
    page.get_by_role("button", name="Categories and filters").click()
    page.set_viewport_size({"width": 1280, "height": 800})  # turned, or made wider
    page.get_by_label("Words", exact=True).click()
    page.context.close()


def test_light_and_dark(chromium: Browser, address: str) -> None:
    page = opened(chromium, address, color_scheme="light")
    shade = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(shade)
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate(shade)
    assert light != dark
    page.reload()
    settled(page)
    assert page.evaluate(shade) == dark
    page.context.close()


def test_photos_are_added_and_removed(
    chromium: Browser, world: Path, photos: list[Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(world / "index", tmp_path / "index"))
    with page_world.serving(folder) as address:
        page = opened(chromium, address)
        page.get_by_role("button", name="Add photos").click()
        page.locator("#add-files").set_input_files([photos[0], photos[1]])
        page.get_by_label("Caption").fill("a photo of mine")
        page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_role("dialog")).to_contain_text("Added 2 photos")
        page.get_by_role("dialog").get_by_role("button", name="Close").click()
        expect(page.locator("#status")).to_have_text(f"{IMAGES + 2} photos")
        asked(page, "mine")
        assert ids(page)[:2] == [IMAGES + 1, IMAGES + 2]
        page.locator(".card").first.hover()
        page.locator(".card input").first.check()
        page.get_by_role("button", name="Remove from the index").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        page.locator("#selection").wait_for(state="hidden")
        settled(page)
        assert IMAGES + 1 not in ids(page)
        page.context.close()


def test_a_token_opens_the_page(chromium: Browser, world: Path) -> None:
    with page_world.serving(world / "index", token=TOKEN, read_only=True) as address:
        page = chromium.new_context().new_page()
        page.goto(address)
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Enter").click()
        expect(page.locator("#status")).to_have_text(f"{IMAGES} photos")
        assert TOKEN not in page.url
        expect(page.get_by_role("button", name="Add photos")).to_be_hidden()
        page.context.close()
