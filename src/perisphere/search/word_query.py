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

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from perisphere.errors import UsageError
from perisphere.index import Index
from perisphere.index.filters import Expression
from perisphere.index.planner import condition
from perisphere.index.regions import Region
from perisphere.search.ingredients import TextQuery
from perisphere.search.rerank.galleries import file_of
from perisphere.search.results import Answer, Result, Results
from perisphere.tags.concepts.concept_words import NOTHING, ConceptWords
from perisphere.tags.concepts.tokens import tokens_of
from perisphere.tags.words import FUNCTION_WORDS

METRIC = "words"


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


def search_words(
    index: Index,
    texts: Sequence[str],
    k: int = 5,
    *,
    vocabulary: ConceptWords | None = None,
    where: Expression | str | None = None,
    min_score: float | None = None,
    words: float = 1.0,
    regions: float = 0.9,
) -> Results:
    """Find the ``k`` photos that best answer each text, by their words and their regions together.

    Args:
        index: where to search; regions come into it by :func:`perisphere.index.segmented.bring_regions`.
        texts: at least one, each with its own results.
        k: how many results a text, at most.
        vocabulary: words of concepts; those of WikiScenes by default, and the names of the index's concepts.
        where: a filter on the photos.
        min_score: leave out photos that score lower (0..1).
        words: trust in text, 0..1; 0 leaves it out.
        regions: trust in regions, 0..1; 0 leaves them out. Below 1, text still counts where networks give
            scores near 1 to all they see.

    Returns:
        Answers whose results carry the regions of the concepts that were asked for.

    Raises:
        UsageError: there is no text, or one without a word to search for; ``k`` below 1; a trust out of
            range, or none in either.
    """
    _check(texts, k, min_score, (words, regions))
    vocabulary = known_words(index, vocabulary)
    filtered = None if where is None else condition(where)
    asked = [terms_of(text, vocabulary) for text in texts]
    best = index.regions.best(sorted({t.concept for terms in asked for t in terms if t.concept}), filtered)
    answers = []
    for text, terms in zip(texts, asked, strict=True):
        found = index.matches([term.words for term in terms], where) if words else [{} for _ in terms]
        shown = [best.get(term.concept or "", {}) if regions else {} for term in terms]
        evidence = [evidence_of(b, r, words, regions) for b, r in zip(found, shown, strict=True)]
        scores = fused(evidence, len(index))
        top = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
        top = [(id_, score) for id_, score in top if min_score is None or score >= min_score]
        answers.append(_answer(index, text, terms, evidence, top, shown))
    return Results(tuple(answers), _road(words, regions), METRIC, min_score)


def known_words(index: Index, vocabulary: ConceptWords | None = None) -> ConceptWords:
    """Return the words of concepts: ``vocabulary`` or the built-in one, and the names of the index's own."""
    known = ConceptWords.built_in() if vocabulary is None else vocabulary
    own = (index.regions.about() or {"concepts": []})["concepts"]
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


def _answer(
    index: Index,
    text: str,
    terms: Sequence[Term],
    evidence: Sequence[Mapping[int, float]],
    top: Sequence[tuple[int, float]],
    shown: Sequence[Mapping[int, Region]],
) -> Answer:
    scores = dict(top)
    outlines = index.regions.whole([found[id_].id for id_ in scores for found in shown if id_ in found])
    results: list[Result] = []
    for row in index.rows(list(scores), missing_ok=True).iter_rows(named=True):
        mine = [outlines.get(found[row["id"]].id) for found in shown if row["id"] in found]
        parts = sorted((part for part in mine if part is not None), key=lambda part: -part.score)
        results.append(
            Result(
                len(results) + 1,
                row["id"],
                scores[row["id"]],
                None,
                row["label"],
                row["path"],
                file_of(row),
                regions=tuple(parts),
            )
        )
    unknown: dict[str, tuple[str, ...]] = {
        term.text: () for term, sure in zip(terms, evidence, strict=True) if not sure
    }
    concepts = tuple(term.concept for term in terms if term.concept)
    plain = [term.text for term in terms if term.concept is None and term.text not in unknown]
    note = "; ".join(
        f"{name}: {', '.join(known)}" for name, known in (("concepts", concepts), ("words", plain)) if known
    )
    return Answer(TextQuery(text, (), unknown, concepts), None, tuple(results), note)


def _road(words: float, regions: float) -> str:
    used = [name for name, trust in (("captions and categories", words), ("regions", regions)) if trust]
    return " and ".join(used)


def _check(texts: Sequence[str], k: int, min_score: float | None, trusts: tuple[float, float]) -> None:
    if not texts:
        raise UsageError("there is no query. Name at least one text.")
    if k < 1:
        raise UsageError(f"k is {k}: ask for at least 1 result.")
    if min_score is not None and math.isnan(min_score):
        raise UsageError("the least score is nan: give a number, or leave it out.")
    if not all(0 <= trust <= 1 for trust in trusts) or not any(trusts):
        raise UsageError(f"trust in words and regions is {trusts}: give 0 to 1, and more than 0 to one.")
