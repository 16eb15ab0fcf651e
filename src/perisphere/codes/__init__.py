"""Compact codes: codebooks and code assignment; codes of local features: SIFT, vocabularies, VLAD."""

from perisphere.codes.codebooks import Codebooks
from perisphere.codes.sift import DIM, sift
from perisphere.codes.vlad import VladNet, VladSpec, aggregate
from perisphere.codes.vocabulary import fit_vocabulary

__all__ = ["DIM", "Codebooks", "VladNet", "VladSpec", "aggregate", "fit_vocabulary", "sift"]
