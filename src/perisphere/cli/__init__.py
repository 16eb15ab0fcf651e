"""The command line: one file per verb."""

# Verbs take `app` from `main`, which then imports them all: it comes first, whichever of them is asked for.
from perisphere.cli import main as main
