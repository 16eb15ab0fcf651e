"""The styles that landmarks are built in: family -> style -> how to draw one."""

from collections.abc import Callable

from perisphere.catalog.scenes.plan import Plan
from perisphere.catalog.scenes.styles import bridges, churches, fortresses, mosques, palaces, temples, towers

STYLES: dict[tuple[str, str], Callable[[Plan], None]] = {
    ("church", "gothic"): churches.gothic,
    ("temple", "doric"): temples.doric,
    ("mosque", "ottoman"): mosques.ottoman,
    ("fortress", "castle"): fortresses.castle,
    ("palace", "renaissance"): palaces.renaissance,
    ("church", "baroque"): churches.baroque,
    ("tower", "campanile"): towers.campanile,
    ("bridge", "arched"): bridges.arched,
    ("church", "romanesque"): churches.romanesque,
    ("palace", "neoclassical"): palaces.neoclassical,
    ("temple", "pagoda"): temples.pagoda,
    ("fortress", "keep"): fortresses.keep,
    ("tower", "lighthouse"): towers.lighthouse,
    ("mosque", "persian"): mosques.persian,
    ("temple", "corinthian"): temples.corinthian,
}
"""(family, style) -> function that draws a landmark on a plan."""
