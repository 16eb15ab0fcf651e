"""Requests that are not answered: a status and one line."""

from perisphere.errors import PerisphereError


class RefusedError(PerisphereError):
    """A request that is refused.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
