"""Files of word vectors as word2vec, GloVe and fastText write them."""

import gzip
from pathlib import Path

import numpy as np

WORDS = ("sunset", "Sunset", "New_York", "beach", "sea", "cat", "cats")


def vectors_of(words: tuple[str, ...] = WORDS, dim: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    rows = np.random.default_rng(seed).standard_normal((len(words), dim)).astype(np.float32)
    return dict(zip(words, rows, strict=True))


def binary(vectors: dict[str, np.ndarray], newline: bytes = b"") -> bytes:
    dim = len(next(iter(vectors.values())))
    records = (word.encode() + b" " + row.astype("<f4").tobytes() + newline for word, row in vectors.items())
    return f"{len(vectors)} {dim}\n".encode() + b"".join(records)


def text(vectors: dict[str, np.ndarray], *, head: bool = True, end: str = "\n") -> bytes:
    dim = len(next(iter(vectors.values())))
    lines = [" ".join([word, *(f"{value:.9g}" for value in row)]) for word, row in vectors.items()]
    return ((f"{len(vectors)} {dim}\n" if head else "") + "".join(line + end for line in lines)).encode()


def written(path: Path, content: bytes, *, packed: bool = False) -> Path:
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return path
