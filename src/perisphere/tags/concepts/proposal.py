"""Words that make good concepts of a collection.

Many landmarks have a category of such a name, and the captions of its photos say it too.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from perisphere.tags.concepts.concept_words import ConceptWords
from perisphere.tags.concepts.labelling import PhotoText
from perisphere.tags.concepts.terms import Terms, terms_of
from perisphere.tags.spelling import singulars

_ABOUT = """
interior exterior inside outside indoor outdoor view panorama detail image photo photograph picture
night day history map plan building church cathedral part element architecture category file media
left right north south east west northern southern eastern western upper lower central main
innen aussen innenansicht aussenansicht ansicht interieur exterieur interno esterno vista interiore
"""
ABOUT_PHOTOS = frozenset(_ABOUT.split())
"""Words for where a photo was taken from, for pictures and for whole buildings: parts of none."""

_NAME_SHARE = 0.4  # of a landmark's category names, or captions, that hold a word of its name
_NAME_TEXTS = 8  # texts from which on such a share means something
_PLURAL_SHARE = 0.1  # how often the singular occurs beside what could be its plural


@dataclass(frozen=True)
class Limits:
    """What makes a word a good concept.

    Attributes:
        photos: at least so many tell of it, in their own category or caption.
        landmarks: at least this share of all landmarks have a category of that name, and three landmarks
            where there are so many.
        agreement: see :class:`Proposal`; it counts from two photos expected on.
    """

    photos: int = 20
    landmarks: float = 0.1
    agreement: float = 1.2

    def least_landmarks(self, landmarks: int) -> int:
        """Return how many landmarks must have a category of the name, of so many."""
        return max(round(self.landmarks * landmarks), min(3, landmarks))


@dataclass(frozen=True)
class Proposal:
    """A word and what speaks for it.

    Attributes:
        word: a concept of the mapping, or a word in the singular.
        photos: number by landmark of photos whose own category or caption has it.
        named: landmarks that have a category of that name (``Windows of ...``).
        in_categories: photos whose own category has it.
        in_captions: photos whose caption has it.
        agreement: photos where both have it, over those expected if captions of a landmark did not depend on
            categories. Near 1 the word tells nothing of what a photo shows.
        expected: the second of these numbers.
        forms: spellings by number of photos, the commonest first.
        objection: why it is no good concept; empty where it is one.
    """

    word: str
    photos: dict[str, int]
    named: int
    in_categories: int
    in_captions: int
    agreement: float
    expected: float
    forms: dict[str, int]
    objection: str = ""

    @property
    def total(self) -> int:
        """Photos of all landmarks."""
        return sum(self.photos.values())


@dataclass
class _Counts:
    """What is counted of every word."""

    photos: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    forms: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    categories: Counter[str] = field(default_factory=Counter)
    captions: Counter[str] = field(default_factory=Counter)
    both: Counter[str] = field(default_factory=Counter)
    expected: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    named: Counter[str] = field(default_factory=Counter)


@dataclass
class _Landmark:
    """The texts of a landmark, read."""

    photos: list[tuple[Terms, Terms]] = field(default_factory=list)
    names: dict[str, Terms] = field(default_factory=dict)

    def characteristic(self) -> set[str]:
        """Return the words of a large part of its category names or captions."""
        captions = [caption for _, caption in self.photos if caption.words]
        return _frequent(list(self.names.values())) | _frequent(captions)


def propose(texts: Iterable[PhotoText], words: ConceptWords, limits: Limits | None = None) -> list[Proposal]:
    """Return the words of a collection, the good concepts first, each group by landmarks and photos.

    Words of a landmark's own name are left out: those of the name that is given, and those that stand in much
    of its texts and seldom elsewhere. Words that the mapping knows count as their concept.

    Args:
        texts: of all photos; ``landmark`` groups them.
        words: what is counted together, for instance ``vitrail`` and ``window``; may be empty.
        limits: what makes a good concept.

    Returns:
        All words that stand in the texts of :attr:`Limits.photos` photos and of two landmarks, if there are
        two.
    """
    limits = limits or Limits()
    landmarks = _read(texts, words)
    names = _name_words(landmarks)
    singular = _Singulars(landmarks.values(), words)
    counts = _Counts()
    for label, landmark in landmarks.items():
        _count(counts, label, landmark, singular, names[label])
    few = min(2, len(landmarks))
    found = [
        _proposal(word, counts, limits, len(landmarks))
        for word, photos in counts.photos.items()
        if photos.total() >= limits.photos and len(photos) >= few
    ]
    return sorted(found, key=lambda one: (bool(one.objection), -one.named, -one.total, one.word))


def _read(texts: Iterable[PhotoText], words: ConceptWords) -> dict[str, _Landmark]:
    landmarks: defaultdict[str, _Landmark] = defaultdict(_Landmark)
    for text in texts:
        landmark = landmarks[text.landmark]
        for name in text.categories:
            if name not in landmark.names:
                landmark.names[name] = terms_of(name, words, text.landmark)
        own = landmark.names[text.categories[-1]] if text.categories else Terms()
        landmark.photos.append((own, terms_of(text.caption, words, text.landmark)))
    return dict(landmarks)


def _frequent(texts: Sequence[Terms]) -> set[str]:
    if len(texts) < _NAME_TEXTS:
        return set()
    counts = Counter(word for terms in texts for word in terms.plain())
    return {word for word, count in counts.items() if count >= _NAME_SHARE * len(texts)}


def _name_words(landmarks: dict[str, _Landmark]) -> dict[str, set[str]]:
    """Return the words of each landmark's own name: frequent there, and where they occur at all, mostly so.

    ``seville`` and ``notre`` are; ``window`` is frequent with a few landmarks and stands at most others too.
    """
    frequent = {label: landmark.characteristic() for label, landmark in landmarks.items()}
    high = Counter(word for words in frequent.values() for word in words)
    anywhere: Counter[str] = Counter()
    for landmark in landmarks.values():
        texts = [*landmark.names.values(), *(caption for _, caption in landmark.photos)]
        anywhere.update({word for terms in texts for word in terms.plain() if word in high})
    return {
        label: {word for word in words if 2 * high[word] >= anywhere[word] and len(landmarks) > 1}
        for label, words in frequent.items()
    }


class _Singulars:
    """The singular of each word, where it occurs in the collection too; concepts stay as they are."""

    def __init__(self, landmarks: Iterable[_Landmark], words: ConceptWords) -> None:
        self._concepts = set(words.concepts)
        self._counts: Counter[str] = Counter()
        for landmark in landmarks:
            for terms in landmark.photos:
                self._counts.update({word for text in terms for word in text.words})

    def __call__(self, word: str) -> str:
        if word in self._concepts:
            return word
        least = _PLURAL_SHARE * self._counts[word]
        return next((one for one in singulars(word) if self._counts[one] > least), word)


def _count(
    counts: _Counts, label: str, landmark: _Landmark, singular: _Singulars, own_name: set[str]
) -> None:
    """Add what a landmark's texts say."""
    in_category: Counter[str] = Counter()
    in_caption: Counter[str] = Counter()
    both: Counter[str] = Counter()
    for own, caption in landmark.photos:
        first, second = ({singular(w) for w in terms.words if w not in own_name} for terms in (own, caption))
        in_category.update(first)
        in_caption.update(second)
        both.update(first & second)
        for word in first | second:
            counts.photos[word][label] += 1
        for form, word in {**own.forms, **caption.forms}.items():
            if word not in own_name:
                counts.forms[singular(word)][form] += 1
    counts.categories += in_category
    counts.captions += in_caption
    for word, count in in_category.items():
        if count < len(landmark.photos):  # a word of all photos tells nothing of any
            counts.both[word] += both[word]
            counts.expected[word] += count * in_caption[word] / len(landmark.photos)
    heads = (terms.head(own_name) for terms in landmark.names.values())
    counts.named.update({singular(head) for head in heads if head})


def _proposal(word: str, counts: _Counts, limits: Limits, landmarks: int) -> Proposal:
    expected = counts.expected[word]
    proposal = Proposal(
        word=word,
        photos=dict(sorted(counts.photos[word].items())),
        named=counts.named[word],
        in_categories=counts.categories[word],
        in_captions=counts.captions[word],
        agreement=(counts.both[word] + 0.5) / (expected + 0.5),
        expected=expected,
        forms=dict(sorted(counts.forms[word].items(), key=lambda form: (-form[1], form[0]))),
    )
    return replace(proposal, objection=_objection(proposal, limits, landmarks))


def _objection(one: Proposal, limits: Limits, landmarks: int) -> str:
    least = limits.least_landmarks(landmarks)
    if one.word in ABOUT_PHOTOS:
        return "tells of the picture or of the whole"
    if one.named < least:
        return f"names a category of {one.named} landmarks, not {least}"
    if one.expected >= 2 and one.agreement < limits.agreement:
        return f"captions do not follow it (agreement {one.agreement:.2f})"
    return ""
