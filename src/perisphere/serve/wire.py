"""What a search request may hold, checked before anything is done with it."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from perisphere.index.filters import parse, tests

MOST_RESULTS = 1000
MOST_EXAMPLES = 64
MOST_TESTS = 32
MOST_PHOTOS = 16
"""Photos of one search that are decoded; images of the index go by their vectors, and do not count."""
LONGEST = 100_000
"""Characters of one text of a row."""

Id = Annotated[int, Field(ge=1, le=2**62, strict=True)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
KINDS = ("id", "upload", "class", "text", "vector", "label", "image", "url")


def _few_tests(where: str) -> str:
    """Refuse a filter that takes long on every row; an empty one is for others to judge."""
    count = tests(parse(where)) if where else 0
    if count > MOST_TESTS:
        raise ValueError(f"a filter of {count} tests; at most {MOST_TESTS} are taken here. Use in (...)")
    return where


Where = Annotated[str, Field(max_length=10_000), AfterValidator(_few_tests)]


def _four(value: Any) -> Any:
    """Refuse anything but a list: pydantic would also take a set or a generator."""
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise ValueError("give x0, y0, x1, y1 as shares of width and height")
    return value


Region = Annotated[tuple[Share, Share, Share, Share], BeforeValidator(_four)]


class Sent(BaseModel):
    """The base of all bodies: a name that is not known is an error, not ignored."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class SentExample(Sent):
    """One thing that is liked or disliked; exactly one of its kinds.

    Attributes:
        id: a photo of the index.
        upload: a photo that was sent to ``/uploads``.
        of_class: a class of the taxonomy, by id or name.
        text: words that have a point.
        vector: a point of the index's dimension.
        label: whose centroid is meant.
        image: a photo's bytes in base64.
        url: where a photo lies (only from hosts that the service was told).
        region: the part of the photo that is meant, shares of width and height.
        weight: how much it counts beside the others.
    """

    id: Id | None = None
    upload: Annotated[str, Field(max_length=64)] | None = None
    of_class: Annotated[str | None, Field(alias="class", max_length=1000)] = None
    text: Annotated[str, Field(max_length=1000)] | None = None
    vector: Annotated[list[Finite], Field(min_length=1, max_length=65536)] | None = None
    label: Annotated[str, Field(max_length=1000)] | None = None
    image: str | None = None
    url: Annotated[str, Field(max_length=2000)] | None = None
    region: Region | None = None
    weight: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 1.0

    @property
    def is_decoded(self) -> bool:
        """Whether its pixels are needed."""
        return any(given is not None for given in (self.region, self.upload, self.image, self.url))

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [kind for kind in KINDS if self._of(kind) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(KINDS)}, not {', '.join(given) or 'none'}")
        if self.region is not None:
            if given[0] not in ("id", "upload", "image", "url"):
                raise ValueError(f"a region is a part of a photo, and {given[0]!r} is none")
            x0, y0, x1, y1 = self.region
            if not (x0 < x1 and y0 < y1):
                raise ValueError("the region is empty: x0 must lie below x1, and y0 below y1")
        return self

    def _of(self, kind: str) -> Any:
        return getattr(self, "of_class" if kind == "class" else kind)


class SearchRequest(Sent):
    """A query; what is left out has the defaults of the command line.

    Attributes:
        like: what results should be like.
        unlike: what they should not be like.
        words: sought in captions, tags, categories and labels.
        words_weight: of the words beside the examples, 0 to 1.
        where: a filter.
        k: how many results.
        among: photos, centroids, or the photos of the nearest centroids.
        identities: how many centroids choose the photos.
        metric: another than the index's own.
        min_score: the least score of a result.
        min_precision: the least calibrated precision of a result.
        rerank: re-rankers, as on the command line.
        exact: whether an approximate index is searched exactly.
    """

    like: Annotated[list[SentExample], Field(max_length=MOST_EXAMPLES)] = []
    unlike: Annotated[list[SentExample], Field(max_length=MOST_EXAMPLES)] = []
    words: Annotated[str, Field(max_length=1000)] | None = None
    words_weight: Share | None = None
    where: Where | None = None
    k: Annotated[int, Field(ge=1, le=MOST_RESULTS)] = 50
    among: Literal["photos", "centroids", "centroids-then-photos"] | None = None
    identities: Annotated[int, Field(ge=1, le=1000)] | None = None
    metric: Literal["cosine", "l2", "l1"] | None = None
    min_score: Finite | None = None
    min_precision: Share | None = None
    rerank: Annotated[str, Field(max_length=1000)] | None = None
    exact: bool = False

    @property
    def photos(self) -> int:
        """How many photos are decoded for it."""
        return sum(example.is_decoded for example in (*self.like, *self.unlike))

    @model_validator(mode="after")
    def _few_photos(self) -> Self:
        if self.photos > MOST_PHOTOS:
            raise ValueError(f"{self.photos} photos to be decoded; at most {MOST_PHOTOS} go into one search")
        return self

    def echo(self) -> dict[str, Any]:
        """Return the query as it was asked, without what is long: photos and points."""
        return self.model_dump(
            by_alias=True,
            exclude_none=True,
            exclude={"like": {"__all__": {"image", "vector"}}, "unlike": {"__all__": {"image", "vector"}}},
        )


class MatchedPhoto(Sent):
    """A photo to be compared, or a part of it: of the index or sent before."""

    id: Id | None = None
    upload: Annotated[str, Field(max_length=64)] | None = None
    region: Region | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.id is None) == (self.upload is None):
            raise ValueError("give exactly one of id, upload")
        return self


class MatchRequest(Sent):
    """Two photos to be compared point by point: a query, and a photo of the index."""

    query: MatchedPhoto
    id: Id


Text = Annotated[str, Field(max_length=LONGEST)]
Names = Annotated[list[Annotated[str, Field(max_length=1000)]], Field(max_length=100)]


class SentRow(Sent):
    """What is known of a vector that is added. It names no file: no path of a request reaches the disk."""

    split: Text | None = None
    label: Text | None = None
    camera: Text | None = None
    domain: Text | None = None
    tags: Names | None = None
    caption: Text | None = None
    categories: Names | None = None
    concepts: Names | None = None
    url: Text | None = None


class SentVectors(Sent):
    """Vectors to be added, and a row each where there is something to say of them."""

    vectors: Annotated[list[list[Finite]], Field(min_length=1, max_length=10_000)]
    rows: list[SentRow] | None = None


class SentIds(Sent):
    """Photos to be removed."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=100_000)]
