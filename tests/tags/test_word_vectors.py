import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from vector_files import WORDS, binary, text, vectors_of, written

from perisphere.errors import PerisphereError
from perisphere.tags import word_vectors
from perisphere.tags.vector_lookup import find_vectors, spellings
from perisphere.tags.word_vectors import read_word_vectors

FORMS = {
    "word2vec binary": binary(vectors_of()),
    "word2vec binary with line breaks": binary(vectors_of(), b"\n"),
    "word2vec text": text(vectors_of()),
    "GloVe": text(vectors_of(), head=False),
    "fastText": text(vectors_of(), end=" \n"),
    "Windows": text(vectors_of(), end="\r\n"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_wanted_words(tmp_path: Path, form: str, packed: bool) -> None:
    found = read_word_vectors(
        written(tmp_path / "v", FORMS[form], packed=packed), ["beach", "New_York", "dog"]
    )
    assert (found.dim, found.words, found.unfit) == (5, len(WORDS), ())
    assert set(found.vectors) == {"beach", "New_York"}
    for word, row in found.vectors.items():
        np.testing.assert_allclose(row, vectors_of()[word], rtol=1e-6)


def test_the_first_of_two_counts_and_what_is_no_direction_is_told(tmp_path: Path) -> None:
    rows = b"3 2\ncat 1 2\ncat 3 4\ndog nan 1\n"
    found = read_word_vectors(written(tmp_path / "v", rows), ["cat", "dog"])
    assert found.vectors["cat"].tolist() == [1, 2]
    assert found.unfit == ("dog",)


def test_words_with_blanks_are_not_their_first_word(tmp_path: Path) -> None:
    found = read_word_vectors(written(tmp_path / "v", b"the 1 2\nat name 3 4\nat 5 6\n"), ["at"])
    assert found.vectors["at"].tolist() == [5, 6]


def test_blank_lines_and_tabs_are_no_words(tmp_path: Path) -> None:
    rows = b"cat\t1 2\r\n\r\n \t\r\n\t\ndog\t3\t4\r\n"
    found = read_word_vectors(written(tmp_path / "v", rows), ["cat", "dog"])
    assert {word: row.tolist() for word, row in found.vectors.items()} == {"cat": [1, 2], "dog": [3, 4]}


@pytest.mark.filterwarnings("error")
def test_numbers_that_single_precision_cannot_hold_are_unfit(tmp_path: Path) -> None:
    rows = b"cat 1e39 2\ndog 3e38 3e38\nsea 1e-15 0\nsky 1e-30 0\n"
    found = read_word_vectors(written(tmp_path / "v", rows), ["cat", "dog", "sea", "sky"])
    assert found.unfit == ("cat", "dog", "sky")
    assert set(found.vectors) == {"sea"}


def test_words_across_the_edges_of_chunks_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_vectors, "_CHUNK", 7)
    monkeypatch.setattr(word_vectors, "MAX_WORD", 20)
    monkeypatch.setattr(word_vectors, "MAX_LINE", 150)
    for name, content in FORMS.items():
        found = read_word_vectors(written(tmp_path / "v", content), WORDS)
        assert list(found.vectors) == list(WORDS), name


HOSTILE = {
    "claims too many numbers": (b"1 1000000000\ncat ", "claims"),
    "claims none": (b"1 0\ncat \n", "claims"),
    "a word without an end": (b"2 3\n" + b"\xff" * 100_000, "damaged"),
    "a binary cut short": (binary(vectors_of())[:-3], "word 7 of 7"),
    "claims more words than there are": (text(vectors_of()).replace(b"7 5", b"9 5"), "after 7 of 9"),
    "a line without numbers": (b"2 3\ncat 1 2 3\ndog 1 x 3\n", "word 2 has not 3 numbers"),
    "a line cut short": (b"2 3\ncat 1 2 3\ndog 1 2", "word 2 has not 3 numbers"),
    "no vectors": (b"hello world\n", "no word vectors"),
    "empty": (b"", "no word vectors"),
    "a picture": (b"\xff\xd8\xff\xe0" * 99, "no word vectors"),
    "an endless line": (b"cat 1 2\n" + b"9" * (1 << 21), "takes over"),
    "a damaged gzip": (b"\x1f\x8b" + b"\0" * 50, "damaged"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_errors_in_one_line(tmp_path: Path, case: str) -> None:
    content, says = HOSTILE[case]
    with pytest.raises(PerisphereError, match=says) as caught:
        read_word_vectors(written(tmp_path / "v.bin", content), ["cat", "dog"])
    assert str(tmp_path / "v.bin") in str(caught.value)


def test_a_cut_gzip_and_a_missing_file_are_errors(tmp_path: Path) -> None:
    whole = written(tmp_path / "v.gz", FORMS["GloVe"], packed=True).read_bytes()
    with pytest.raises(PerisphereError, match="cut short"):
        read_word_vectors(written(tmp_path / "v.gz", whole[:-12]), ["cat"])
    with pytest.raises(PerisphereError, match="cannot be read"):
        read_word_vectors(tmp_path / "none", ["cat"])


def test_memory_is_that_of_the_wanted_words(tmp_path: Path) -> None:
    """4,000 words of 2,000 numbers are 32 MB; packed 40 KB, as a file that means harm would be."""
    record = b"word " + bytes(8_000)
    content = b"4001 2000\n" + record * 4_000 + b"cat " + np.ones(2_000, "<f4").tobytes()
    file = written(tmp_path / "v.bin.gz", content, packed=True)
    del content
    tracemalloc.start()
    try:
        found = read_word_vectors(file, ["cat"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.vectors["cat"].sum() == 2_000
    assert peak < 16 << 20


def test_tags_are_found_by_other_spellings_and_word_by_word(tmp_path: Path) -> None:
    vectors = vectors_of()
    tags = {"new york": ["NewYork"], "cats": [], "sunset sea": [], "beach": [], "dog": [], "sea dog": []}
    found = find_vectors(written(tmp_path / "v", binary(vectors)), tags)
    assert found.spelled == {
        "new york": "New_York",
        "cats": "cats",
        "beach": "beach",
        "sunset sea": "sunset + sea",
    }
    np.testing.assert_allclose(
        found.vectors["sunset sea"], (vectors["sunset"] + vectors["sea"]) / 2, rtol=1e-6
    )


def test_the_likeliest_spelling_comes_first() -> None:
    ways = spellings("sao paulo", ["São Paulo"])
    assert ways[:4] == ["sao_paulo", "Sao_Paulo", "SAO_PAULO", "São_Paulo"]
    assert {"saopaulo", "sao-paulo", "sao_paulos"} <= set(ways)


def test_the_real_file_of_word_vectors(shared: Path) -> None:
    file = shared / "data/word-vectors/word2vec-common1000-300d.txt.gz"
    found = read_word_vectors(file, ["father", "mother", "street"])
    assert (found.dim, found.words) == (300, 1_000)
    unit = {word: row / np.linalg.norm(row) for word, row in found.vectors.items()}
    assert unit["father"] @ unit["mother"] > unit["father"] @ unit["street"]
