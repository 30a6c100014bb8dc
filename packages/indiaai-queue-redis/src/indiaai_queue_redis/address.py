"""The address in `REDIS_URL`: one server, a cluster's nodes, or sentinels; imported by the settings and the servers."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

__all__ = ["Address", "Login", "Place"]

Place = tuple[str, int]
"""Host and port of a server."""

Login = tuple[str, str, int]
"""User, password and database; empty where the address says nothing of it."""

OWN_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
"""Options that need nothing of redis-py."""

_UNIX = ("unix",) if hasattr(socket, "AF_UNIX") else ()  # Windows' Python has no such sockets
SCHEMES = ("redis", "rediss", *_UNIX, "redis+sentinel", "rediss+sentinel")
PORTS = {"redis": 6379, "rediss": 6379, "redis+sentinel": 26379, "rediss+sentinel": 26379}


@dataclass(frozen=True)
class Address:
    """An address taken apart; it lives as long as the settings, and shows no secret."""

    shown: str
    """It without user, password and options."""
    places: tuple[Place, ...]
    """Whom to ask first; none for a Unix socket."""
    service: str
    """The name under which sentinels know the primary, or an empty text."""
    plain: str = field(repr=False)
    """The address of a server, with everything that the client is to know: for sentinels, of the one that they name."""

    @property
    def is_tls(self) -> bool:
        """Whether connections are under TLS."""
        return self.plain.startswith("rediss")

    @property
    def path(self) -> str:
        """Where the Unix socket is."""
        return unquote(urlsplit(self.plain).path)

    @property
    def login(self) -> Login:
        """As whom to connect, and to which database."""
        parts = urlsplit(self.plain)
        number = parts.path.strip("/") if parts.scheme != "unix" else ""
        return unquote(parts.username or ""), unquote(parts.password or ""), int(number) if number.isdigit() else 0

    @property
    def options(self) -> dict[str, str]:
        """What follows the address."""
        return dict(parse_qsl(urlsplit(self.plain).query, keep_blank_values=True))

    @property
    def is_plain(self) -> bool:
        """Whether redis-py is not needed to connect: none of the options is one that it alone knows."""
        return self.options.keys() <= OWN_OPTIONS

    @classmethod
    def of(cls, url: str) -> Address:
        """Take an address apart; raises `ValueError` that shows no piece of it, for a misread one may show its password."""
        scheme, _, rest = url.partition("://")
        if scheme not in SCHEMES:
            expected = ", ".join(f"{known}://" for known in SCHEMES[:-1])
            raise ValueError(f"expected an address that begins with {expected} or {SCHEMES[-1]}://")
        try:
            parts = urlsplit(url)
            places = _places(parts) if scheme in PORTS else ()
            is_sound = rest.count("@") <= 1 and "@" not in "".join(parts[2:]) and (bool(places) or bool(parts.path.strip("/")))
        except ValueError:
            is_sound = False
        if not is_sound:
            raise ValueError("expected a host and a port, or a path, with a password's special characters in percent code")
        return cls._of_sentinels(parts, places) if scheme.endswith("sentinel") else cls._of_servers(parts, places)

    @classmethod
    def _of_servers(cls, parts: SplitResult, places: tuple[Place, ...]) -> Address:
        netloc = parts.netloc if len(places) < 2 else _login(parts) + _joined(places[:1])
        return cls(f"{parts.scheme}://{_joined(places)}{parts.path}", places, "", parts._replace(netloc=netloc).geturl())

    @classmethod
    def _of_sentinels(cls, parts: SplitResult, places: tuple[Place, ...]) -> Address:
        service, _, database = unquote(parts.path.strip("/")).partition("/")
        if not service or not (database.isdigit() or not database):
            raise ValueError("expected the service's name behind the sentinels, and perhaps a database: /name/0")
        scheme = parts.scheme.partition("+")[0]
        plain = parts._replace(scheme=scheme, netloc=_login(parts) + _joined(places[:1]), path=f"/{database or 0}")
        return cls(f"{parts.scheme}://{_joined(places)}{parts.path}", places, service, plain.geturl())


def _login(parts: SplitResult) -> str:
    return "".join(parts.netloc.rpartition("@")[:2])


def _joined(places: tuple[Place, ...]) -> str:
    return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in places)


def _places(parts: SplitResult) -> tuple[Place, ...]:
    found = []
    for text in parts.netloc.rpartition("@")[2].split(","):
        one = urlsplit(f"//{text}")
        if one.port == 0 or (not one.hostname and "," in parts.netloc):
            raise ValueError("no place")
        found.append((one.hostname or "localhost", one.port or PORTS[parts.scheme]))
    return tuple(found)
