"""Where an engine is, and what it is called there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from perisphere.errors import PerisphereError, UsageError
from perisphere.index.stores.protocol import Store

PORT = 19530
_KINDS = "give milvus://HOST:PORT[/DATABASE] (milvus+tls:// with TLS), or a file PATH.db for Milvus Lite"


@dataclass(frozen=True)
class Address:
    """An engine that is a Milvus server, or a file of Milvus Lite.

    Attributes:
        uri: ``http://HOST:PORT`` or ``https://HOST:PORT``, or the absolute path of a file ``.db``, without
            links.
        database: of a server; ``""`` is its default.
    """

    uri: str
    database: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it is a file of Milvus Lite."""
        return self.uri.endswith(".db")

    def __str__(self) -> str:
        if self.is_file:
            return self.uri
        scheme, host = self.uri.split("://")
        named = f"/{self.database}" if self.database else ""
        return f"{'milvus+tls' if scheme == 'https' else 'milvus'}://{host}{named}"

    def seen_from(self, base: Path) -> str:
        """Return the address as it is noted in an index: a file below ``base`` by its way from there."""
        inside = self.is_file and Path(self.uri).is_relative_to(base.resolve())
        return str(Path(self.uri).relative_to(base.resolve())) if inside else str(self)

    @classmethod
    def parse(cls, text: str, base: Path = Path()) -> Address:
        """Read ``milvus://HOST:PORT[/DATABASE]`` or ``PATH.db``.

        Args:
            text: the address.
            base: the folder that a path starts from.

        Raises:
            UsageError: it is neither, or it names a user or a password, which are never written down.
        """
        if not text.isprintable() or ("://" not in text and not text.endswith(".db")):
            raise UsageError(f"the store {text!r} is unknown: {_KINDS}.")
        if "://" not in text:
            return cls(str((base / text).resolve()))
        try:
            parts = urlsplit(text)
            port = parts.port or PORT
        except ValueError as error:
            raise UsageError(f"the store {text!r} cannot be read ({error}): {_KINDS}.") from error
        if parts.username or parts.password:
            raise UsageError(
                f"the store {parts.scheme}://{parts.hostname}: leave user and password out, which would be "
                "written into the index. Put them into the environment as MILVUS_TOKEN=user:password, and "
                "the address as MILVUS_TOKEN_FOR."
            )
        database = parts.path.strip("/")
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}|", database) and not parts.query + parts.fragment
        if parts.scheme not in ("milvus", "milvus+tls") or not parts.hostname or not plain:
            raise UsageError(f"the store {text!r} is unknown: {_KINDS}.")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return cls(f"{'https' if parts.scheme == 'milvus+tls' else 'http'}://{host}:{port}", database)


def create(address: Address, name: str, dim: int, metric: str) -> Store:
    """Make an empty store.

    Args:
        address: of the engine.
        name: of the store there; no other has it.
        dim: values a vector.
        metric: ``"cosine"`` (rows come at length 1) or ``"l2"``.

    Raises:
        UsageError: what the engine cannot do.
        PerisphereError: the engine cannot be reached or refuses.
    """
    from perisphere.index.stores.milvus import MilvusStore

    return MilvusStore.create(address, name, dim, metric)


def connect(about: dict[str, Any], base: Path, dim: int, metric: str) -> Store:
    """Open the store that an index has noted.

    Args:
        about: ``address`` and ``collection``, as the index keeps them.
        base: the folder that the index lies in.
        dim: values a vector.
        metric: of the index.

    Raises:
        PerisphereError: the engine cannot be reached, holds no such store, or is not noted as it should be.
    """
    from perisphere.index.stores.milvus import MilvusStore

    try:
        address, collection = about["address"], about["collection"]
        if not re.fullmatch(r"perisphere_[A-Za-z0-9_]{1,200}", collection):
            raise ValueError(f"no collection of ours: {collection!r}")
        found = Address.parse(address, base)
    except (KeyError, TypeError, AttributeError, ValueError, UsageError) as error:
        raise PerisphereError(
            f"The index does not say where its vectors are ({error}). Restore it from a copy."
        ) from error
    return MilvusStore.open(found, collection, dim, metric)
