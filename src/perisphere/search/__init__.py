"""Queries and what is done with their answers."""

from perisphere.search.classify import Verdict, Vote, classify_images, vote
from perisphere.search.query import search_images
from perisphere.search.results import Answer, ClassQuery, Photos, Result, Results, Source
from perisphere.search.sheet import draw_sheet, write_sheet

__all__ = [
    "Answer",
    "ClassQuery",
    "Photos",
    "Result",
    "Results",
    "Source",
    "Verdict",
    "Vote",
    "classify_images",
    "draw_sheet",
    "search_images",
    "vote",
    "write_sheet",
]
