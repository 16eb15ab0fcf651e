"""The errors that a user can mend; every other exception is a defect of ours."""


class PerisphereError(Exception):
    """The work failed. The message is one line that names the file or value and the mend (exit code 1)."""


class UsageError(PerisphereError):
    """The words were wrong: an option, a recipe key or a filter expression (exit code 2)."""


def nearest(word: str, known: list[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known word closest to ``word``, or an empty string."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
