"""Queries and what is done with their answers."""

from perisphere.search.classify import Verdict, Vote, classify_images, vote
from perisphere.search.ingredients import (
    Centroid,
    ClassQuery,
    Ingredient,
    Photos,
    Point,
    Row,
    Source,
    TextQuery,
)
from perisphere.search.part import Part
from perisphere.search.query import Example, Query
from perisphere.search.results import Answer, Result, Results
from perisphere.search.searching import search
from perisphere.search.sheet import draw_sheet, write_sheet
from perisphere.search.tagging import Tagging, tag_images

__all__ = [
    "Answer",
    "Centroid",
    "ClassQuery",
    "Example",
    "Ingredient",
    "Part",
    "Photos",
    "Point",
    "Query",
    "Result",
    "Results",
    "Row",
    "Source",
    "Tagging",
    "TextQuery",
    "Verdict",
    "Vote",
    "classify_images",
    "draw_sheet",
    "search",
    "tag_images",
    "vote",
    "write_sheet",
]
