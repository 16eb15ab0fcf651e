"""What people call what photos show: English words and synonyms, and the words of six other languages."""

from dataclasses import dataclass

LANGUAGES = ("de", "fr", "es", "it", "nl", "ru")
"""Languages besides English, as ISO 639-1 codes, in the order of the columns below."""

_TABLE = """
family  | church       | church, cathedral, basilica | Kirche | église | iglesia | chiesa | kerk | церковь
family  | temple       | temple, shrine, sanctuary | Tempel | temple | templo | tempio | tempel | храм
family  | mosque       | mosque, masjid | Moschee | mosquée | mezquita | moschea | moskee | мечеть
family  | fortress     | fortress, stronghold, fort | Festung | forteresse | fortaleza | fortezza | vesting | крепость
family  | palace       | palace, mansion | Palast | palais | palacio | palazzo | paleis | дворец
family  | tower        | tower, turret | Turm | tour | torre | torre | toren | башня
family  | bridge       | bridge, viaduct | Brücke | pont | puente | ponte | brug | мост
style   | gothic       | gothic, neogothic | gotisch, Gotik | gothique | gótico | gotico | gotisch | готика
style   | romanesque   | romanesque, norman | romanisch | roman | románico | romanico | romaans | романский
style   | baroque      | baroque | barock | baroque | barroco | barocco | barok | барокко
style   | doric        | doric, greek | dorisch | dorique | dórico | dorico | dorisch | дорический
style   | corinthian   | corinthian, roman | korinthisch | corinthien | corintio | corinzio | korinthisch | коринфский
style   | pagoda       | pagoda, stupa | Pagode | pagode | pagoda | pagoda | pagode | пагода
style   | ottoman      | ottoman, turkish | osmanisch | ottoman | otomano | ottomano | ottomaans | османский
style   | persian      | persian, iranian | persisch | persan | persa | persiano | perzisch | персидский
style   | castle       | castle, chateau | Burg, Schloss | château | castillo | castello | kasteel | замок
style   | keep         | keep, donjon | Bergfried | donjon | torreón | mastio | donjon | донжон
style   | renaissance  | renaissance | Renaissance | renaissance | renacimiento | rinascimento | renaissance | ренессанс
style   | neoclassical | neoclassical, classicism | klassizistisch | néoclassique | neoclásico | neoclassico | neoclassicistisch | неоклассический
style   | campanile    | campanile, bell tower | Glockenturm | campanile | campanario | campanile | klokkentoren | колокольня
style   | lighthouse   | lighthouse, beacon | Leuchtturm | phare | faro | faro | vuurtoren | маяк
light   | morning      | morning, sunrise, dawn | Morgen | matin | mañana, amanecer | mattina, alba | ochtend | утро
light   | overcast     | overcast, cloudy, clouds | bewölkt | nuageux | nublado | nuvoloso | bewolkt | пасмурно
light   | dusk         | dusk, sunset, twilight | Sonnenuntergang | crépuscule | atardecer | tramonto | zonsondergang | закат
light   | night        | night, nightshot | Nacht | nuit | noche | notte | nacht | ночь
part    | spire        | spire, steeple, pinnacle | Turmspitze | flèche | aguja | guglia | torenspits | шпиль
part    | dome         | dome, cupola | Kuppel | coupole, dôme | cúpula | cupola | koepel | купол
part    | portal       | portal, doorway | Portal | portail | portada | portale | portaal | портал
part    | rose         | rose window, rosette | Rosette | rosace | rosetón | rosone | roosvenster | окно-роза
part    | chapel       | chapel | Kapelle | chapelle | capilla | cappella | kapel | часовня
part    | buttress     | buttress, flying buttress | Strebepfeiler | contrefort | contrafuerte | contrafforte | steunbeer | контрфорс
part    | column       | column, pillar, colonnade | Säule | colonne | columna | colonna | zuil | колонна
part    | pediment     | pediment, gable | Giebel | fronton | frontón | frontone | fronton | фронтон
part    | statue       | statue, sculpture | Statue, Skulptur | statue | estatua | statua | standbeeld | статуя
part    | minaret      | minaret | Minarett | minaret | alminar | minareto | minaret | минарет
part    | battlement   | battlement, crenellation | Zinnen | créneaux | almena | merlatura | kantelen | зубцы
part    | stairs       | stairs, steps, staircase | Treppe | escalier | escalera | scalinata | trap | лестница
part    | arch         | arch, archway | Bogen | arche | arco | arco | boog | арка
part    | balcony      | balcony | Balkon | balcon | balcón | balcone | balkon | балкон
part    | clock        | clock | Uhr | horloge | reloj | orologio | klok | часы
part    | lantern      | lantern, lamp | Laterne | lanterne | linterna | lanterna | lantaarn | фонарь
around  | tree         | tree, foliage | Baum | arbre | árbol | albero | boom | дерево
around  | person       | people, crowd, tourists | Leute, Menschen | gens | gente | gente | mensen | люди
around  | water        | water, river | Wasser, Fluss | eau, rivière | agua, río | acqua, fiume | water, rivier | вода, река
colour  | white        | white | weiß | blanc | blanco | bianco | wit | белый
colour  | red          | red | rot | rouge | rojo | rosso | rood | красный
colour  | yellow       | yellow, golden | gelb | jaune | amarillo | giallo | geel | жёлтый
colour  | grey         | grey, gray | grau | gris | gris | grigio | grijs | серый
common  | sunny        | sunny, sunshine | sonnig | ensoleillé | soleado | soleggiato | zonnig | солнечно
common  | sky          | sky, blue sky | Himmel | ciel | cielo | cielo | lucht | небо
common  | window       | window | Fenster | fenêtre | ventana | finestra | raam | окно
common  | roof         | roof | Dach | toit | tejado | tetto | dak | крыша
common  | facade       | façade, front | Fassade | façade | fachada | facciata | gevel | фасад
common  | wall         | wall | Mauer | mur | muro | muro | muur | стена
"""  # noqa: E501 (a table is read by its columns)

CHATTER = (
    *("holiday", "2019", "canon", "travel", "europe", "me", "architecture", "summer", "instagood"),
    *("nofilter", "weekend", "family", "nikon", "bw", "friends", "geo:lat=48.21", "geo:lon=16.37", "trip"),
    *("city", "2018", "explore", "photo", "urlaub", "vacaciones", "history", "unesco", "50mm", "hdr"),
    *("my favourite", "day out"),
)
"""What users write under anything; says nothing about a photo."""


@dataclass(frozen=True)
class Word:
    """How one thing is called.

    Attributes:
        kind: family, style, light, part, around (what surrounds a landmark), colour, or common (what most
            photos show, so that it tells little).
        english: the usual word, then its synonyms.
        foreign: language -> its words.
    """

    kind: str
    english: tuple[str, ...]
    foreign: dict[str, tuple[str, ...]]

    @property
    def countable(self) -> bool:
        """Whether it has a plural."""
        return self.kind in ("family", "part") or self.english[0] in ("tree", "window", "roof", "wall")


def _read(table: str) -> dict[str, Word]:
    words = {}
    for line in table.strip().splitlines():
        kind, name, *columns = (cell.strip() for cell in line.split("|"))
        english, *foreign = (tuple(cell.split(", ")) for cell in columns)
        words[name] = Word(kind, english, dict(zip(LANGUAGES, foreign, strict=True)))
    return words


WORDS = _read(_TABLE)
"""Name of a thing -> how it is called."""


def plural(word: str) -> str:
    """Return the English plural of a regular noun, of the last word where it has several."""
    if word.endswith(("s", "x", "ch", "sh")):
        return word if word.endswith(("stairs", "steps")) else word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"
