"""Search by words: captions, categories, tags and concepts of photos together with what their regions show.

A text is taken apart into terms. A word that names a concept, in any language of the mapping, is a term of
all words for that concept; any other word is a term of itself. A photo has evidence of a term between 0
and 1 from two sides: ``b``, half for having any of the term's words in its text and half BM25 of them as a
share of the best photo's, and ``r``, the score of its region that shows the concept. The two are joined as
independent signs of one fact (noisy-or)::

    e = 1 - (1 - words * b) * (1 - regions * r)

The score of a photo is the mean of ``e`` over the terms, weighted by how rare each is (the inverse document
frequency of BM25, over the photos with any evidence of it), so that photos which have all that is asked for
come before photos with much of one thing. The half for any word keeps photos that name a concept once above
those of doubtful regions; no weight was learnt.
"""

import heapq
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from perisphere.errors import UsageError
from perisphere.index import Index
from perisphere.index.filters import Expression
from perisphere.index.planner import condition
from perisphere.index.regions import Region
from perisphere.search.ingredients import TextQuery
from perisphere.tags.concepts.concept_words import NOTHING, ConceptWords
from perisphere.tags.concepts.tokens import tokens_of
from perisphere.tags.words import FUNCTION_WORDS

TRUST = (1.0, 0.9)
"""How far words and regions are trusted; below 1, text still counts where networks give scores near 1 to all
they see."""


@dataclass(frozen=True)
class Term:
    """What one part of a text asks for.

    Attributes:
        text: as it stands in the text, in one spelling.
        words: that mean it; ``*`` at the end of a word stands for more letters.
        concept: that they mean, if any.
    """

    text: str
    words: tuple[str, ...]
    concept: str | None = None


@dataclass(frozen=True)
class Sought:
    """What the words of a text say about photos.

    Attributes:
        text: as it was typed.
        terms: what it asks for.
        scores: of the photos with any of it, 0..1, by id.
        shown: of each term, the region that shows it, by the id of the photo; without outlines.
        missing: terms of which no photo has a sign.
    """

    text: str
    terms: tuple[Term, ...]
    scores: Mapping[int, float]
    shown: Sequence[Mapping[int, Region]]
    missing: tuple[str, ...]

    @property
    def query(self) -> TextQuery:
        """The text with what was found of it."""
        concepts = tuple(term.concept for term in self.terms if term.concept)
        return TextQuery(self.text, (), dict.fromkeys(self.missing, ()), concepts)

    @property
    def note(self) -> str:
        """A line about the concepts and words that were sought."""
        plain = [t.text for t in self.terms if t.concept is None and t.text not in self.missing]
        named = (("concepts", self.query.concepts), ("words", plain))
        return "; ".join(f"{name}: {', '.join(known)}" for name, known in named if known)

    def best(self, k: int, without: Collection[int] = ()) -> dict[int, float]:
        """Return the ``k`` best scores by id, best first; of equal ones the lower id comes first."""
        return best_first({i: score for i, score in self.scores.items() if i not in without}, k)


def seek(
    index: Index,
    texts: Sequence[str],
    vocabulary: ConceptWords,
    where: Expression | None = None,
    trust: tuple[float, float] = TRUST,
) -> list[Sought]:
    """Find for each text the photos that have anything of it, in their words or their regions.

    Args:
        index: where to search; regions come into it by :func:`perisphere.index.segmented.bring_regions`.
        texts: at least one.
        vocabulary: words of concepts.
        where: a filter on the photos.
        trust: in words and in regions, 0..1 each, and more than 0 in one; 0 leaves them out.

    Raises:
        UsageError: a text without a word to search for; a trust out of range.
    """
    words, regions = trust
    if not all(0 <= share <= 1 for share in trust) or not any(trust):
        raise UsageError(f"trust in words and regions is {trust}: give 0 to 1, and more than 0 to one.")
    asked = [terms_of(text, vocabulary) for text in texts]
    terms = list(dict.fromkeys(term for some in asked for term in some))
    concepts = sorted({term.concept for term in terms if term.concept}) if regions else []
    seen = index.regions.best(concepts, None if where is None else condition(where)) if concepts else {}
    written = (
        dict(zip(terms, index.matches([term.words for term in terms], where), strict=True)) if words else {}
    )
    evidence = {
        term: evidence_of(written.get(term, {}), seen.get(term.concept or "", {}), words, regions)
        for term in terms
    }
    photos = len(index)
    return [
        Sought(
            text,
            some,
            fused([evidence[term] for term in some], photos),
            [seen.get(term.concept or "", {}) for term in some],
            tuple(term.text for term in some if not evidence[term]),
        )
        for text, some in zip(texts, asked, strict=True)
    ]


def best_first(scores: Mapping[int, float], k: int) -> dict[int, float]:
    """Return the ``k`` best scores by id, best first; of equal ones the lower id comes first."""
    return dict(heapq.nsmallest(k, scores.items(), key=lambda pair: (-pair[1], pair[0])))


def outlined(
    index: Index, sought: Sequence[Sought], ids: Sequence[Iterable[int]]
) -> list[dict[int, tuple[Region, ...]]]:
    """Return for each text the regions, with outlines, of its concepts in photos ``ids``, the best first."""
    wanted = [
        {id_: [found[id_].id for found in one.shown if id_ in found] for id_ in some}
        for one, some in zip(sought, ids, strict=True)
    ]
    regions = {region for places in wanted for some in places.values() for region in some}
    known = index.regions.whole(sorted(regions)) if regions else {}
    return [
        {
            id_: tuple(sorted((known[r] for r in some if r in known), key=lambda region: -region.score))
            for id_, some in places.items()
        }
        for places in wanted
    ]


def words_road(trust: tuple[float, float]) -> str:
    """Say what is searched by words."""
    named = zip(("captions and categories", "regions"), trust, strict=True)
    return " and ".join(name for name, share in named if share)


def known_words(index: Index, vocabulary: ConceptWords | None = None) -> ConceptWords:
    """Return the words of concepts: ``vocabulary`` or the built-in one, and the names of the index's own."""
    about = index.regions.about()
    return _words(vocabulary, () if about is None else tuple(about["concepts"]))


@lru_cache(maxsize=8)
def _words(vocabulary: ConceptWords | None, own: tuple[str, ...]) -> ConceptWords:
    known = ConceptWords.built_in() if vocabulary is None else vocabulary
    return known.of(tuple(dict.fromkeys([*known.concepts, *own])))


def terms_of(text: str, vocabulary: ConceptWords) -> tuple[Term, ...]:
    """Take a text apart.

    Raises:
        UsageError: no word in it can be searched for.
    """
    tokens = tokens_of(text)
    terms: dict[str, Term] = {}
    inside: set[int] = set()
    for mention in vocabulary.find(text):
        inside.update(range(mention.start, mention.stop))
        spelled = " ".join(tokens[mention.start : mention.stop])
        known = terms.get(mention.concept)
        all_words = known.words if known else _names(mention.concept, vocabulary)
        unique = tuple(dict.fromkeys([spelled, *all_words]))
        terms[mention.concept] = Term(known.text if known else spelled, unique, mention.concept)
    for place, token in enumerate(tokens):
        if place not in inside and token and token not in FUNCTION_WORDS:
            terms.setdefault(f" {token}", Term(token, (token,)))
    if not terms:
        raise UsageError(f"--text {text!r}: has no word that can be searched for. Name what photos show.")
    return tuple(terms.values())


def evidence_of(
    found: Mapping[int, float], shown: Mapping[int, Region], words: float, regions: float
) -> dict[int, float]:
    """Return how sure it is that each photo has a term, 0..1, by id; photos without a sign are left out.

    Args:
        found: BM25 of its words by id.
        shown: the region that shows it by id.
        words: trust in text.
        regions: trust in regions.
    """
    largest = max(found.values(), default=0.0)
    evidence = {}
    for id_ in found.keys() | shown.keys():
        text = 0.5 + 0.5 * max(found[id_], 0.0) / largest if id_ in found and largest > 0 else 0.0
        region = shown[id_].score if id_ in shown else 0.0
        sure = 1 - (1 - words * text) * (1 - regions * min(max(region, 0.0), 1.0))
        if sure > 0:
            evidence[id_] = sure
    return evidence


def fused(evidence: Iterable[Mapping[int, float]], photos: int) -> dict[int, float]:
    """Return the score of each photo: the mean evidence of the terms, rare ones counting more.

    Args:
        evidence: of each term, by id; a term that no photo has is left out.
        photos: how many there are in the index.
    """
    scores: dict[int, float] = {}
    whole = 0.0
    for term in evidence:
        if not term:
            continue
        # BM25's inverse document frequency in the form that is never below 0.
        weight = math.log(1 + (max(photos - len(term), 0) + 0.5) / (len(term) + 0.5))
        whole += weight
        for id_, sure in term.items():
            scores[id_] = scores.get(id_, 0.0) + weight * sure
    return {id_: score / whole for id_, score in scores.items()}


def _names(concept: str, vocabulary: ConceptWords) -> list[str]:
    """Return the words that mean a concept; of compounds what they end in."""
    entries = (entry for entry in vocabulary.entries if entry.concept == concept and not entry.hint)
    return [entry.word.lstrip("*") for entry in entries if entry.concept != NOTHING]
