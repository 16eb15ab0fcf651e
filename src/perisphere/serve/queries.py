"""From a request to a Query: ids, uploads, bytes and URLs become what the search takes."""

import asyncio
import base64
import binascii
from typing import Any

import numpy as np

from perisphere.search import Centroid, ClassQuery, Example, Ingredient, Part, Point, Query, Row, TextQuery
from perisphere.search.rerank import parse_chain
from perisphere.serve.decoder import Photo
from perisphere.serve.refused import RefusedError
from perisphere.serve.rerankers import check_rerankers
from perisphere.serve.service import Service
from perisphere.serve.wire import SearchRequest, SentExample

SAME = ("where", "k", "among", "identities", "metric", "min_score", "min_precision", "rerank", "exact")
"""What a request and a Query call by one name."""


async def query_of(service: Service, asked: SearchRequest) -> Query:
    """Return the query that a request means, its photos decoded.

    Raises:
        RefusedError: a photo that is not there or cannot be decoded, a URL that is not allowed, or a costly
            re-ranker.
        UsageError: no query, or an option out of range.
    """
    options: dict[str, Any] = {name: getattr(asked, name) for name in SAME}
    if asked.rerank is not None:
        options["rerank"] = parse_chain(asked.rerank)
        check_rerankers(options["rerank"])
    if asked.words_weight is not None:
        options["words_weight"] = asked.words_weight
    like = [await _example(service, example) for example in asked.like]
    unlike = [await _example(service, example) for example in asked.unlike]
    return Query(tuple(like), tuple(unlike), asked.words or None, **options)


async def _example(service: Service, sent: SentExample) -> Example:
    return Example(await _ingredient(service, sent), sent.weight)


async def _ingredient(service: Service, sent: SentExample) -> Ingredient:
    if sent.vector is not None:
        return Point(_vector(sent.vector, service.index.dim))
    if sent.of_class is not None:
        return ClassQuery(sent.of_class)
    if sent.text is not None:
        return TextQuery(sent.text)
    if sent.label is not None:
        return Centroid(sent.label)
    if sent.id is not None and sent.region is None:
        await asyncio.to_thread(service.row, sent.id)
        return Row(sent.id)
    picture = (await _photo(service, sent)).picture
    return picture if sent.region is None else Part(picture, sent.region)


async def _photo(service: Service, sent: SentExample) -> Photo:
    if sent.id is not None:
        return await service.picture(sent.id)
    if sent.upload is not None:
        picture = service.uploads.get(sent.upload)
        return Photo(picture, picture.shape[1], picture.shape[0])
    if sent.url is not None:
        return await service.photo(await service.fetched(sent.url))
    return await service.photo(_decoded(sent.image or ""))


def _vector(values: list[float], dim: int) -> np.ndarray:
    if len(values) != dim:
        raise RefusedError(422, f"the vector has {len(values)} numbers, and the index holds {dim} an image.")
    return np.array(values, np.float32)


def _decoded(text: str) -> bytes:
    """Return the bytes of base64, with or without the head of a data URL."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(422, "the image is not base64. Send the photo's bytes in base64.") from error
