"""Queries and what is done with their answers."""

from perisphere.search.classify import Verdict, Vote, classify_images, vote
from perisphere.search.part import Part
from perisphere.search.query import search_images
from perisphere.search.region_query import search_parts
from perisphere.search.results import Answer, ClassQuery, Photos, Result, Results, Source, TextQuery
from perisphere.search.sheet import draw_sheet, write_sheet
from perisphere.search.tagging import Tagging, tag_images
from perisphere.search.word_query import search_words

__all__ = [
    "Answer",
    "ClassQuery",
    "Part",
    "Photos",
    "Result",
    "Results",
    "Source",
    "Tagging",
    "TextQuery",
    "Verdict",
    "Vote",
    "classify_images",
    "draw_sheet",
    "search_images",
    "search_parts",
    "search_words",
    "tag_images",
    "vote",
    "write_sheet",
]
