"""How people call the parts of a cathedral, sort photos of them into categories, and caption them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from perisphere.catalog.scenes.cathedrals.spots import Spot

LANGUAGES = ("en", "de", "fr", "it", "es")
_WORDS = """
facade  | facade, facades, façade, west front | Fassade, Fassaden, Westfassade | façade, façades | facciata, facciate | fachada, fachadas
window  | window, windows, stained glass window | Fenster, Fenster, Glasfenster | vitrail, vitraux | vetrata, vetrate, finestra | vidriera, vidrieras, ventana
chapel  | chapel, chapels, side chapel | Kapelle, Kapellen, Seitenkapelle | chapelle, chapelles | cappella, cappelle | capilla, capillas
organ   | organ, organs, pipe organ | Orgel, Orgeln, Hauptorgel | orgue, orgues, grand orgue | organo, organi | órgano, órganos
nave    | nave, naves, central nave | Langhaus, Langhaus, Mittelschiff | nef, nefs | navata, navate | nave, naves
tower   | tower, towers, bell tower, steeple | Turm, Türme, Kirchturm | tour, tours, clocher | torre, torri, campanile | torre, torres, campanario
choir   | choir, choirs, chancel | Chor, Chor, Chorraum | chœur, chœur, chevet | coro, coro | coro, coro
portal  | portal, portals, doorway, door | Portal, Portale, Tür | portail, portails, porte | portale, portali, porta | portada, portadas, puerta
altar   | altar, altars, altarpiece | Altar, Altäre, Hochaltar | autel, autels, retable | altare, altari, pala d'altare | altar, altares, retablo
statue  | statue, statues, sculpture | Statue, Statuen, Skulptur | statue, statues, sculpture | statua, statue, scultura | estatua, estatuas, escultura
outside | exterior, Exterior | Außenansicht, Außenansichten | extérieur, Extérieur | esterno, Esterno | exterior, Exterior
inside  | interior, Interior | Innenraum, Innenansichten | intérieur, Intérieur | interno, Interno | interior, Interior
"""  # noqa: E501 (a table is read by its columns)


def _read() -> dict[str, dict[str, tuple[str, ...]]]:
    words: dict[str, dict[str, tuple[str, ...]]] = {}
    for line in _WORDS.strip().splitlines():
        name, *columns = (cell.strip() for cell in line.split("|"))
        pairs = zip(LANGUAGES, columns, strict=True)
        words[name] = {language: tuple(cell.split(", ")) for language, cell in pairs}
    return words


WORDS = _read()
"""Concept -> language -> singular, plural, then synonyms."""
_COUNTRY = {
    "en": "england",
    "de": "germany deutschland",
    "fr": "france",
    "it": "italy italia",
    "es": "spain españa",
}
_NAME = {
    "en": "{} Cathedral",
    "de": "Dom zu {}",
    "fr": "Cathédrale Notre-Dame de {}",
    "it": "Duomo di {}",
    "es": "Catedral de {}",
}
_OF = {"en": "{} of {}", "de": "{} ({})", "fr": "{} - {}", "it": "{} ({})", "es": "{} - {}"}
_SAINTS = {
    "en": ("St. Anne", "St. George", "St. Michael", "Our Lady", "St. Barbara", "All Saints"),
    "de": ("St. Anna", "St. Georg", "St. Michael", "Maria", "St. Barbara", "Allerheiligen"),
    "fr": ("Sainte-Anne", "Saint-Georges", "Saint-Michel", "Notre-Dame", "Sainte-Barbe", "Tous-les-Saints"),
    "it": ("Sant'Anna", "San Giorgio", "San Michele", "Santa Maria", "Santa Barbara", "Ognissanti"),
    "es": ("Santa Ana", "San Jorge", "San Miguel", "Santa María", "Santa Bárbara", "Todos los Santos"),
}
_CAPTIONS = {
    "en": ("{word} of {name}", "{name}, {word}", "The {word} of {name}", "{word}, {name}, {year}"),
    "de": ("{word} - {name}", "{name}, {word}", "{name}: {word}", "{word} im {name}"),
    "fr": ("{name} - {word}", "{word} de la {name}", "{word}, {name}"),
    "it": ("{name}, {word}", "{word} del {name}", "{word} - {name}"),
    "es": ("{word} de la {name}", "{name}, {word}", "{word} - {name}"),
}  # fmt: skip
_VIEWS = {
    "en": ("View of {name}", "{name} seen from the square", "{name}, {year}"),
    "de": ("Blick auf den {name}", "{name} im Sommer {year}"),
    "fr": ("Vue de la {name}", "{name}, {year}"),
    "it": ("Veduta del {name}", "{name}, {year}"),
    "es": ("Vista de la {name}", "{name}, {year}"),
}
_WITH = {"en": "{} and {}", "de": "{} und {}", "fr": "{} et {}", "it": "{} e {}", "es": "{} y {}"}
_CHATTER = (
    "Summer holidays {year}",
    "Photo taken with a Nikon D90",
    "Scan of an old slide, {year}",
    "Own work",
    "This file was uploaded during a competition in {year}",
    "Market day in {place}",
    "Taken on our trip to {place}",
    "Urlaub {year}, zweiter Tag",
    "Photo de vacances",
)


@dataclass(frozen=True)
class Category:
    """A folder of photos: its name, and the concept that the name says (or ``""``)."""

    name: str
    concept: str = ""


@dataclass(frozen=True)
class Entry:
    """A photo as it stands in the collection.

    Attributes:
        categories: from below the landmark down to the folder of the photo.
        labels: the subject first, then what the categories say; empty for a general view.
        caption: may be empty.
        language: of the caption.
        file: name of the file.
    """

    categories: tuple[Category, ...]
    labels: tuple[str, ...]
    caption: str
    language: str
    file: str


def folders(paths: Iterable[tuple[Category, ...]]) -> dict[tuple[Category, ...], tuple[str, ...]]:
    """Number the categories below a landmark: path of names -> path of folders, parents first."""
    found: dict[tuple[Category, ...], tuple[str, ...]] = {(): ()}
    below: dict[tuple[Category, ...], int] = {}
    for path in paths:
        for depth in range(1, len(path) + 1):
            parent, here = path[: depth - 1], path[:depth]
            if here not in found:
                found[here] = (*found[parent], str(below.get(parent, 0)))
                below[parent] = below.get(parent, 0) + 1
    return found


class Guide:
    """How the friends of one cathedral sort and call things.

    Args:
        place: such as ``"Belmere"``.
        rng: the dice of the cathedral's friends.
    """

    def __init__(self, place: str, rng: np.random.Generator) -> None:
        self.place = place
        self.language = str(rng.choice(LANGUAGES, p=(0.32, 0.2, 0.2, 0.14, 0.14)))
        self.name = _NAME[self.language].format(place)
        self.english = f"{place} Cathedral"
        self._in_english = self.language == "en" or bool(rng.random() < 0.5)
        self._split = bool(rng.random() < 0.85)  # exterior and interior apart
        self._portals_below, self._statues_below, self._altar_below = (bool(v) for v in rng.random(3) < 0.55)
        self._saints = [int(k) for k in rng.permutation(6)]

    @property
    def long_name(self) -> str:
        """Name of the landmark's category, in small letters, with the country."""
        names = dict.fromkeys(
            (self.english.lower(), self.name.lower(), self.place.lower(), _COUNTRY[self.language])
        )
        return " ".join(names)

    def categories(self, spot: Spot) -> tuple[Category, ...]:
        """Return where photos of a spot are sorted, from below the landmark."""
        side = [Category(self._of("inside" if spot.inside else "outside", 0))] if self._split else []
        return (*side, *self._below(spot))

    def _below(self, spot: Spot) -> list[Category]:
        facade, portals = self._all("facade", 0), self._all("portal")
        doors = [facade, portals] if self._portals_below else [portals]
        if not spot.concept:
            return []
        if spot.concept == "facade":
            return [facade]
        if spot.concept == "portal":
            return [portals] if spot.inside else doors
        if spot.concept == "statue" and spot.name.startswith("portal") and self._statues_below:
            return [*doors, self._all("statue")]
        if spot.name.startswith("chapel"):
            number = int(spot.name.split()[1].split("/")[0])
            chapel = Category(self._saint(number), "chapel")
            inner = [self._one("altar", number)] if spot.concept == "altar" else []
            return [self._all("chapel"), chapel, *inner]
        if spot.name in ("high altar", "choir window") and self._altar_below:
            return [self._all("choir", 0), self._all(spot.concept, 0 if spot.concept == "altar" else 1)]
        if spot.name == "rose from outside" and self._portals_below:
            return [facade, self._all("window", 0)]
        return [self._all(spot.concept, 0 if spot.concept in ("nave", "choir", "organ") else 1)]

    def _of(self, thing: str, form: int) -> str:
        language = "en" if self._in_english else self.language
        word = WORDS[thing][language][form]
        return _OF[language].format(word[:1].upper() + word[1:], self.name)

    def _all(self, concept: str, form: int = 1) -> Category:
        return Category(self._of(concept, form), concept)

    def _one(self, concept: str, number: int) -> Category:
        language = "en" if self._in_english else self.language
        word = WORDS[concept][language][0]
        return Category(f"{word[:1].upper() + word[1:]} - {self._saint(number)}", concept)

    def _saint(self, number: int) -> str:
        language = "en" if self._in_english else self.language
        saint, word = _SAINTS[language][self._saints[number % 6]], WORDS["chapel"][language][0]
        if language == "de":
            return f"{word.capitalize()} {saint} ({self.name})"
        return f"{word.capitalize()} {_of_saint(language)}{saint} ({self.name})"

    def entry(self, spot: Spot, also: list[str], number: int, rng: np.random.Generator) -> Entry:
        """Sort and caption one photo.

        Args:
            spot: its subject.
            also: other concepts that it shows, largest first.
            number: of the photo.
            rng: the dice of who uploads it.
        """
        categories = self.categories(spot)
        language = str(rng.choice([self.language, "en", *LANGUAGES], p=(0.45, 0.4, *[0.03] * 5)))
        named, caption = self._caption(spot, also, language, rng)
        if named and len(categories) > 1 and rng.random() < 0.08:
            categories = categories[:-1]  # whoever uploaded it did not look for the right folder
        labels = (spot.concept, *(one.concept for one in categories if one.concept)) if spot.concept else ()
        word = WORDS[spot.concept][self.language][0] if spot.concept else "view"
        kind = str(rng.choice(("jpg", "JPG", "jpeg"), p=(0.75, 0.2, 0.05)))
        title = (
            f"{self.name} - {word}",
            f"{self.name}, {self.place} ({word})",
            self.name,
            f"{self.place} {number}",
        )
        file = str(rng.choice(title, p=(0.4, 0.2, 0.3, 0.1))).replace(" ", "_")
        return Entry(
            categories, tuple(dict.fromkeys(labels)), caption, language, f"{file}_{number + 1:04d}.{kind}"
        )

    def _caption(
        self, spot: Spot, also: list[str], language: str, rng: np.random.Generator
    ) -> tuple[bool, str]:
        """Whether the caption names the subject, and the caption."""
        year, name = int(rng.integers(2004, 2022)), self.name if language == self.language else self.english
        kind = float(rng.random())
        if kind < 0.06:
            return False, ""
        if kind < 0.12:
            return False, str(rng.choice(_CHATTER)).format(year=year, place=self.place)
        if kind < 0.24 or not spot.concept:
            return False, str(rng.choice(_VIEWS[language])).format(name=name, year=year)
        words = WORDS[spot.concept][language]
        word = str(words[0] if rng.random() < 0.6 else rng.choice(words))
        if also and rng.random() < 0.15:
            word = _WITH[language].format(word, WORDS[also[0]][language][0])
        text = str(rng.choice(_CAPTIONS[language])).format(word=word, name=name, year=year)
        return True, text[:1].upper() + text[1:]


def _of_saint(language: str) -> str:
    return {"en": "of ", "fr": "", "it": "di ", "es": "de "}[language]
