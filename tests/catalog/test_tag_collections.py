import itertools
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import write_photo

from perisphere.catalog import Catalog
from perisphere.catalog.readers import read
from perisphere.errors import PerisphereError, UsageError
from perisphere.tags.published import read_published


def photos(folder: Path, names: list[str]) -> None:
    for seed, name in enumerate(names):
        write_photo(folder / name, seed, 12, 8)


def texts(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def rows(catalog: Catalog) -> list[tuple]:
    return catalog.table.select("path", "split", "tags", "concepts").rows()


def published(root: Path, name: str = "flickr25k", tag_list: str = "common_tags.txt") -> Path:
    names = ["mirflickr/im1.jpg", "mirflickr/im2.jpg", "mirflickr/im3.jpg", "mirflickr/im4.jpg"]
    photos(root / f"datasets/{name}", names)
    lists = {
        "train_img.txt": "mirflickr/im1.jpg\nmirflickr/im2.jpg\n",
        "train_tag.txt": "1 0 1\n0 0 0\n",
        "database_img.txt": "mirflickr/im1.jpg\nmirflickr/im3.jpg\n",
        "database_label.txt": "0 1\n1 1\n",
        "test_img.txt": "mirflickr/im4.jpg\n",
        "test_label.txt": "1 0\n",
        tag_list: "sky\nnew york\nété\n",
    }
    texts(root / f"data/{name}", lists)
    return root


@pytest.mark.parametrize(
    ("format", "name", "tag_list"),
    [("flickr25k", "flickr25k", "common_tags.txt"), ("nuswide", "nus-wide", "TagList1k.txt")],
)
def test_the_published_layout(format: str, name: str, tag_list: str, tmp_path: Path) -> None:
    found = read(format, published(tmp_path, name, tag_list), strict=True)
    assert found.root == tmp_path / "datasets" / name
    assert rows(found) == [
        ("mirflickr/im1.jpg", "train", ["sky", "été"], []),
        ("mirflickr/im2.jpg", "train", [], []),
        ("mirflickr/im1.jpg", "gallery", [], ["concept-02"]),
        ("mirflickr/im3.jpg", "gallery", [], ["concept-01", "concept-02"]),
        ("mirflickr/im4.jpg", "query", [], ["concept-01"]),
    ]


def test_the_published_tags_know_the_photos(tmp_path: Path) -> None:
    """A merged tag is present where any of its raw columns is; the dropped column is none."""
    lists = published(tmp_path) / "data/flickr25k"
    matrix = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 1, 1], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]])
    texts(
        lists,
        {
            "train_img.txt": "".join(f"mirflickr/im{number}.jpg\n" for number in (1, 2, 3, 4)),
            "common_tags.txt": "sky 9\nskies 4\nnewyork 3\nexplore 8\nété 2\n",
            "tags/FinalTagEmbs.txt": "1 0\n0 1\n1 1\n",
        },
    )
    np.savetxt(lists / "train_tag.txt", matrix, fmt="%d")
    merged = {"sky": [0, 1], "newyork": [2], "été": [4], -1: [3]}
    (lists / "tags/TagIdMergeMap.pkl").write_bytes(pickle.dumps(merged, protocol=2))
    typed = read("flickr25k", tmp_path).select(split="train").table["tags"].to_list()
    starts, columns = read_published(lists).rows(typed)
    found = [columns[start:end].tolist() for start, end in itertools.pairwise(starts)]
    wanted = [
        [row for row, raw in enumerate(list(merged.values())[:-1]) if any(line[raw])] for line in matrix
    ]
    assert found == wanted == [[0, 1], [2], [0], []]


def test_concepts_are_named_by_a_file(tmp_path: Path) -> None:
    texts(published(tmp_path), {"names.txt": "sea\nbird\n", "data/flickr25k/concepts.txt": "dog\ncat\n"})
    named = read("flickr25k", tmp_path, concepts=tmp_path / "names.txt")
    assert named.table["concepts"].to_list()[2:] == [["bird"], ["sea", "bird"], ["sea"]]
    assert read("flickr25k", tmp_path).table["concepts"].to_list()[2] == ["cat"]


def test_an_unreadable_photo_takes_its_row_with_it(tmp_path: Path) -> None:
    root = published(tmp_path)
    (root / "datasets/flickr25k/mirflickr/im1.jpg").write_bytes(b"")
    found = read("flickr25k", root)
    assert rows(found) == [
        ("mirflickr/im2.jpg", "train", [], []),
        ("mirflickr/im3.jpg", "gallery", [], ["concept-01", "concept-02"]),
        ("mirflickr/im4.jpg", "query", [], ["concept-01"]),
    ]
    assert [(item.path, item.reason) for item in found.skipped] == [
        ("mirflickr/im1.jpg", "empty file (0 bytes)")
    ]


def test_a_path_that_leads_out_takes_its_row_with_it(tmp_path: Path) -> None:
    texts(published(tmp_path), {"data/flickr25k/train_img.txt": "../../data/x.jpg\nmirflickr\\im2.jpg\n"})
    found = read("flickr25k", tmp_path)
    assert rows(found)[0] == ("mirflickr/im2.jpg", "train", [], [])
    assert found.skipped[0].path == "train_img.txt:1"
    with pytest.raises(PerisphereError, match=r"train_img\.txt:1: leads out"):
        read("flickr25k", tmp_path, strict=True)


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("train_tag.txt", "1 0 1\n", r"train_tag.txt: 1 rows for the 2 photos of train_img.txt"),
        ("database_img.txt", "a.jpg\n", r"database_label.txt: 2 rows for the 1 photos"),
        ("train_tag.txt", "1 0\n0 0\n", r"train_tag.txt: 2 columns where tags have 3 names"),
        ("test_label.txt", "1 0 0\n", r"test_label.txt: 3 columns where concepts have 2 names"),
        ("test_label.txt", "1 5\n", r"test_label.txt: line 1 holds something else than 0 and 1"),
        ("train_tag.txt", "1 0 1\n1 0\n", r"train_tag.txt: line 2 has 2 numbers where 3 belong"),
        ("concepts.txt", "sky\nsky\n", r"concepts.txt: the name 'sky' is there twice"),
        ("concepts.txt", "sky\n", r"concepts.txt: 1 names for the 2 columns"),
        ("common_tags.txt", None, r"common_tags.txt: no such list"),
        ("train_img.txt", None, r"train_img.txt: no such list"),
        ("database_label.txt", None, r"database_label.txt: no such list"),
    ],
)
def test_lists_that_do_not_belong_together(
    file: str, text: str | None, complaint: str, tmp_path: Path
) -> None:
    place = published(tmp_path) / "data/flickr25k" / file
    if text is None:
        place.unlink()
    else:
        place.write_text(text)
    with pytest.raises(PerisphereError, match=complaint):
        read("flickr25k", tmp_path, out=tmp_path / "catalog")
    assert not (tmp_path / "catalog").exists()


def test_a_missing_folder_of_photos_is_named(tmp_path: Path) -> None:
    texts(tmp_path, {"data/nus-wide/TagList1k.txt": "sky\n"})
    with pytest.raises(PerisphereError, match=r"datasets/nus-wide: no such folder of photos"):
        read("nuswide", tmp_path)


def mirflickr(root: Path) -> Path:
    photos(root / "mirflickr", ["im1.jpg", "im2.jpg", "im10.jpg"])
    texts(
        root,
        {
            "mirflickr/meta/tags/tags1.txt": "new york\r\nsky\r\n\r\n",
            "mirflickr/meta/tags/tags2.txt": "",
            "annotations/README.txt": "Read me.",
            "annotations/sky.txt": "1\n10\n",
            "annotations/sky_r1.txt": "10\n",
            "annotations/bird.txt": "2\n10\n",
            "annotations/bird_r1.txt": "",
            "annotations/food.txt": "1\n99\n",
        },
    )
    (root / "mirflickr/meta/tags/tags10.txt").write_bytes("école\n".encode() + "été\n".encode("latin-1"))
    return root


@pytest.mark.parametrize(
    ("variant", "concepts"),
    [
        (None, [["food", "sky"], ["bird"], ["bird", "sky"]]),
        ("potential", [["food", "sky"], ["bird"], ["bird", "sky"]]),
        ("relevant", [[], [], ["sky"]]),
        ("all", [["food", "sky"], ["bird"], ["bird", "sky", "sky_r1"]]),
    ],
)
def test_mirflickr(variant: str | None, concepts: list[list[str]], tmp_path: Path) -> None:
    found = read("mirflickr", mirflickr(tmp_path), strict=True, variant=variant)
    assert found.table["path"].to_list() == [f"mirflickr/im{number}.jpg" for number in (1, 2, 10)]
    assert found.table["tags"].to_list() == [["new york", "sky"], [], ["école", "été"]]
    assert found.table["concepts"].to_list() == concepts
    if variant in (None, "all"):
        assert found.source["remarks"] == {"annotated, and not there": ["im99.jpg"]}


def test_mirflickr_from_the_folder_of_photos(tmp_path: Path) -> None:
    root = mirflickr(tmp_path)
    (root / "mirflickr/copy.jpg").write_bytes(b"")
    (root / "mirflickr/meta/tags/tags2.txt").unlink()
    found = read("mirflickr", root / "mirflickr", annotations=root / "annotations")
    assert found.table["path"].to_list() == ["im1.jpg", "im2.jpg", "im10.jpg"]
    assert found.table["concepts"].to_list() == [["food", "sky"], ["bird"], ["bird", "sky"]]
    assert found.source["remarks"]["without its file of tags in tags"] == ["im2.jpg"]
    assert [item.path for item in found.skipped] == ["copy.jpg"]


def test_mirflickr_without_annotations_says_so(tmp_path: Path) -> None:
    root = mirflickr(tmp_path)
    (root / "annotations").rename(root / "elsewhere")
    found = read("mirflickr", root)
    assert found.table["concepts"].to_list() == [[], [], []]
    assert "no annotations: the photos have no concepts" in found.source["remarks"]


@pytest.mark.parametrize(
    ("spoil", "options", "complaint"),
    [
        (
            lambda root: (root / "annotations/sky.txt").write_text("1\nx\n"),
            {},
            "sky.txt: line 2: 'x' is no number of a photo",
        ),
        (lambda root: None, {"annotations": Path("nowhere")}, "nowhere: no such folder of annotations"),
        (lambda root: (root / "mirflickr/meta/tags").rename(root / "x"), {}, "tags: no such folder of tags"),
        (
            lambda root: [file.unlink() for file in (root / "annotations").glob("[a-z]*.txt")],
            {},
            "annotations: holds no CONCEPT.txt",
        ),
    ],
)
def test_a_broken_mirflickr(spoil: Callable[[Path], object], options: dict, complaint: str, tmp_path: Path):
    root = mirflickr(tmp_path)
    spoil(root)
    with pytest.raises(PerisphereError, match=complaint):
        read("mirflickr", root, **options)


def test_an_unknown_variant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--variant 'some': is not potential, relevant, all"):
        read("mirflickr", tmp_path, variant="some")


PATHS = ["actor/0001_2124494179.jpg", "actor/0002_174174086.jpg", "zebra/0001_33.jpg"]


def windows(paths: list[str]) -> str:
    return "".join(path.replace("/", "\\") + "\r\n" for path in paths)


def nuswide(root: Path) -> Path:
    photos(root / "Flickr", PATHS)
    return texts(
        root,
        {
            "ImageList/Imagelist.txt": windows(PATHS),
            "ImageList/TrainImagelist.txt": windows([PATHS[2], PATHS[0]]),
            "ImageList/TestImagelist.txt": windows([PATHS[1]]),
            "ConceptsList/Concepts81.txt": "zebra\nairport\n",
            "Groundtruth/AllLabels/Labels_airport.txt": "1\r\n0\r\n1\r\n",
            "Groundtruth/AllLabels/Labels_zebra.txt": "0\n0\n1\n",
            "Groundtruth/TrainTestLabels/Labels_airport_Train.txt": "1\n1\n",
            "Groundtruth/TrainTestLabels/Labels_airport_Test.txt": "0\n",
            "Groundtruth/TrainTestLabels/Labels_zebra_Train.txt": "1\n0\n",
            "Groundtruth/TrainTestLabels/Labels_zebra_Test.txt": "0\n",
            "NUS_WID_Tags/All_Tags.txt": "33   zebra  newyork \n2124494179 été sky\n174174086\n",
            "NUS_WID_Tags/TagList1k.txt": "nature\nsky\n",
            "NUS_WID_Tags/AllTags1k.txt": "0\t1\t\n1\t0\t\n1\t1\t\n",
            "NUS_WID_Tags/Train_Tags1k.dat": "1\t1\n0\t1\n",
            "NUS_WID_Tags/Test_Tags1k.dat": "1\t0\n",
        },
    )


def test_nuswide_of_its_authors(tmp_path: Path) -> None:
    found = read("nuswide-original", nuswide(tmp_path), strict=True)
    assert rows(found) == [
        (PATHS[0], "train", ["été", "sky"], ["airport"]),
        (PATHS[1], "test", [], []),
        (PATHS[2], "train", ["zebra", "newyork"], ["zebra", "airport"]),
    ]


def test_nuswide_by_the_lists_of_training_and_test(tmp_path: Path) -> None:
    by_all = read("nuswide-original", nuswide(tmp_path), tag_list="1k")
    assert by_all.table["tags"].to_list() == [["sky"], ["nature"], ["nature", "sky"]]
    (tmp_path / "Groundtruth/AllLabels").rename(tmp_path / "gone")
    divided = read("nuswide-original", tmp_path, tag_list="1k")
    assert [row[0] for row in rows(divided)] == [PATHS[2], PATHS[0], PATHS[1]]
    assert sorted(rows(divided)) == sorted(
        (path, split, tags, concepts) for path, split, tags, concepts in rows(by_all)
    )


def test_nuswide_with_less_beside_it(tmp_path: Path) -> None:
    root = nuswide(tmp_path)
    for file in ("NUS_WID_Tags/All_Tags.txt", "ConceptsList/Concepts81.txt", "ImageList/TestImagelist.txt"):
        (root / file).unlink()
    found = read("nuswide-original", root, images=root / "Flickr")
    assert found.table["tags"].to_list() == [["sky"], ["nature"], ["nature", "sky"]]
    assert found.table["concepts"].to_list() == [["airport"], [], ["airport", "zebra"]]
    assert found.table["split"].to_list() == ["train", None, "train"]
    (root / "NUS_WID_Tags/AllTags1k.txt").unlink()
    bare = read("nuswide-original", root)
    assert bare.table["tags"].to_list() == [[], [], []]
    assert list(bare.source["remarks"]) == ["no All_Tags.txt nor AllTags1k.txt: photos have no tags"]


@pytest.mark.parametrize(
    ("file", "text", "options", "complaint"),
    [
        ("Groundtruth/AllLabels/Labels_zebra.txt", "0\n1\n", {}, "Labels_zebra.txt: 2 rows for the 3 photos"),
        ("Groundtruth/AllLabels/Labels_zebra.txt", "0\n3\n1\n", {}, "something else than 0 and 1"),
        ("Groundtruth/AllLabels/Labels_zebra.txt", None, {}, "Labels_zebra.txt: no such list"),
        ("NUS_WID_Tags/All_Tags.txt", "sky sea\n", {}, "line 1: 'sky sea' does not begin with a photo's id"),
        ("NUS_WID_Tags/All_Tags.txt", None, {"tag_list": "all"}, "All_Tags.txt: no such list"),
        ("NUS_WID_Tags/AllTags1k.txt", "1 0\n", {"tag_list": "1k"}, "1 rows for the 3 photos"),
        ("NUS_WID_Tags/TagList1k.txt", "sky\n", {"tag_list": "1k"}, "line 1 has 2 numbers where 1 belong"),
        ("ImageList/Imagelist.txt", None, {}, "Imagelist.txt: no such list"),
    ],
)
def test_a_broken_nuswide(file: str, text: str | None, options: dict, complaint: str, tmp_path: Path) -> None:
    place = nuswide(tmp_path) / file
    if text is None:
        place.unlink()
    else:
        place.write_text(text)
    with pytest.raises(PerisphereError, match=complaint):
        read("nuswide-original", tmp_path, **options)


def test_an_unknown_list_of_tags_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--tag-list '2k': is not all or 1k"):
        read("nuswide-original", tmp_path, tag_list="2k")


def hashing(root: Path) -> Path:
    photos(root / "photos", ["a.jpg", "b.jpg", "c.jpg"])
    lists = {
        "train.txt": "a.jpg 0 1\n",
        "database.txt": "b.jpg 1 1\nc.jpg\t0\t0\n",
        "test.txt": "c.jpg 1 0\n",
    }
    return texts(root, lists)


def test_hashing_lists(tmp_path: Path) -> None:
    root = texts(hashing(tmp_path), {"names": "sky\nsea\n"})
    found = read("hashing-lists", root, images=root / "photos", concepts=root / "names", strict=True)
    assert rows(found) == [
        ("a.jpg", "train", [], ["sea"]),
        ("b.jpg", "gallery", [], ["sky", "sea"]),
        ("c.jpg", "gallery", [], []),
        ("c.jpg", "query", [], ["sky"]),
    ]
    assert found.table["width"].to_list() == [12] * 4


def test_rows_without_photos(tmp_path: Path) -> None:
    root = hashing(tmp_path)
    (root / "train.txt").write_text("../a.jpg 1 1\ngone.jpg 0 1\n")
    found = read("hashing-lists", root, without_photos=True, out=tmp_path / "catalog")
    assert rows(found)[0] == ("gone.jpg", "train", [], ["concept-02"])
    assert found.table["width"].null_count() == 4
    assert [item.path for item in found.skipped] == ["train.txt:1"]
    with pytest.raises(PerisphereError, match="no image can be used"):
        read("hashing-lists", root)


def test_paths_with_spaces_and_digits_at_their_end(tmp_path: Path) -> None:
    paths = ["cow boy/0001 1.jpg", "a10", "été 1/b01", "x/0 1.png"]
    lines = "".join(f"{path}{by}1{by}0\n" for path, by in zip(paths, " \t \t", strict=True))
    found = read("hashing-lists", texts(tmp_path, {"train.txt": lines}), without_photos=True)
    assert found.table["path"].to_list() == paths
    assert found.table["concepts"].to_list() == [["concept-01"]] * 4


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("test.txt", "c.jpg 1\n", "test.txt: line 1 has 1 numbers where 2 belong"),
        ("train.txt", "a.jpg\n", "train.txt: line 1: 'a.jpg' is not PATH and numbers 0 and 1"),
        ("train.txt", "1\n", "line 1: '1' is not PATH"),
        ("database.txt", "b.jpg 1 7\n", "is not PATH and numbers"),
    ],
)
def test_broken_hashing_lists(file: str, text: str, complaint: str, tmp_path: Path) -> None:
    (hashing(tmp_path) / file).write_text(text)
    with pytest.raises(PerisphereError, match=complaint):
        read("hashing-lists", tmp_path, without_photos=True)


def test_a_folder_without_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PerisphereError, match=r"holds none of train.txt, database.txt, test.txt"):
        read("hashing-lists", tmp_path)


LISTS = [
    ("flickr25k", published, "data/flickr25k/train_img.txt"),
    ("flickr25k", published, "data/flickr25k/train_tag.txt"),
    ("flickr25k", published, "data/flickr25k/test_label.txt"),
    ("flickr25k", published, "data/flickr25k/common_tags.txt"),
    ("mirflickr", mirflickr, "mirflickr/meta/tags/tags1.txt"),
    ("mirflickr", mirflickr, "annotations/sky.txt"),
    ("nuswide-original", nuswide, "ImageList/Imagelist.txt"),
    ("nuswide-original", nuswide, "Groundtruth/AllLabels/Labels_zebra.txt"),
    ("nuswide-original", nuswide, "ConceptsList/Concepts81.txt"),
    ("nuswide-original", nuswide, "NUS_WID_Tags/All_Tags.txt"),
    ("hashing-lists", hashing, "test.txt"),
]


@pytest.mark.parametrize(("format", "write", "file"), LISTS)
@settings(max_examples=12, deadline=None)
@given(
    content=st.binary(max_size=60)
    | st.text("01 \t\r\n./\\ab\0é", max_size=60).map(str.encode)
    | st.just(b"9" * 5000)
)
def test_whatever_stands_in_a_list_is_read_or_said(
    format: str,
    write: Callable[[Path], Path],
    file: str,
    content: bytes,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = write(tmp_path_factory.mktemp("any"))
    (root / file).write_bytes(content)
    paths, complaint = [], ""
    try:
        paths = read(format, root).paths()
    except PerisphereError as error:
        complaint = str(error)
    assert "\n" not in complaint
    assert all(path.is_relative_to(root) for path in paths)


@pytest.mark.parametrize(
    ("name", "splits", "concepts"),
    [
        ("mirflickr", {"train": 4000, "gallery": 20000, "query": 1000}, 38),
        ("nuswide_81_m", {"train": 10000, "query": 5000}, 81),
    ],
)
def test_the_splits_of_papers(
    name: str, splits: dict[str, int], concepts: int, shared: Path, tmp_path: Path
) -> None:
    archive = shared / "data/tag-labels/tag-labels.tar.xz"
    with tarfile.open(archive) as files:
        members = [member for member in files if f"splits/{name}/" in f"{member.name}/"]
        files.extractall(tmp_path, members, filter="data")
    folder = next(path for path in tmp_path.rglob(name) if path.is_dir())
    found = read("hashing-lists", folder, without_photos=True, strict=True)
    counts = found.table["split"].value_counts().rows()
    assert dict(counts) == splits
    assert found.table["concepts"].explode(empty_as_null=True).drop_nulls().n_unique() == concepts
    ones = sum(line.split()[1:].count("1") for file in folder.iterdir() for line in file.open())
    assert found.table["concepts"].list.len().sum() == ones
