"""The URL of a PostgreSQL database as providers print it, put right for the driver; imported by settings and service."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode

__all__ = ["PostgresqlUrl", "split_urls"]

_COCKROACHDB_PORT = ":26257"
"""It says whose server that is: the provider itself prints `postgresql://` before it."""

_SCHEMES = {"postgres": "", "postgresql": "", "cockroachdb": _COCKROACHDB_PORT, "cockroach": _COCKROACHDB_PORT}
"""The schemes that are taken, and what is added to a host without a port."""

_HOST = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]/@?#\s]+)(:(?P<port>[0-9]{1,5}))?")

_NOT_FOR_THE_SERVER = frozenset(
    {
        # For other clients: the driver would send them to the server, which refuses what it does not know. Pools and prepared
        # statements are this layer's settings; asyncpg does not bind channels, and keeps connections alive by itself.
        *("pgbouncer", "connection_limit", "pool_timeout", "pool_size", "max_overflow", "supa", "sslaccept"),
        *("prepared_statements", "prepared_statement_cache_size", "prepared_statement_name_func", "statement_cache_size"),
        *("channel_binding", "gssencmode", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
        *("tcp_user_timeout", "sslcompression", "load_balance_hosts", "fallback_application_name", "requirepeer"),
    }
)

_SSL_MODES = {"true": "require", "1": "require", "false": "disable", "0": "disable", "no-verify": "require"}
"""What other clients say for a mode of libpq's."""


@dataclass(frozen=True, slots=True)
class PostgresqlUrl:
    """Where a database is, and how to get in.

    Attributes:
        dsn: The URL as asyncpg takes it. It holds the password.
        shown: Hosts and database, for messages.
        connect_timeout_seconds: What the URL says about it; None if nothing.
        is_cockroachdb: Whether it is a CockroachDB, by the scheme or the port.
        hosts: The same for each host by itself, in their order; none where the driver has to compare them.
    """

    dsn: str = field(repr=False)
    shown: str
    connect_timeout_seconds: float | None = None
    is_cockroachdb: bool = False
    hosts: tuple[PostgresqlUrl, ...] = ()

    @classmethod
    def parse(cls, text: str) -> PostgresqlUrl:
        """Read a URL: any spelling of the scheme, several hosts, and a password that is percent-encoded or not.

        Raises:
            ValueError: It is none; the message holds no part of the URL.
        """
        scheme, separator, rest = text.strip().strip("'\"").partition("://")
        name = scheme.lower().partition("+")[0]
        if not separator or name not in _SCHEMES:
            raise ValueError("must be a URL such as postgresql://user:password@host:5432/database")
        credentials, place = _split_credentials(rest)
        place, _, query = place.partition("?")
        hosts, _, database = place.partition("/")
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        hosts = ",".join(_host(host, _SCHEMES[name]) for host in hosts.split(",") if host)
        if not hosts and "host" not in parameters:
            raise ValueError("must name a host: postgresql://user:password@host:5432/database")
        timeout = _seconds(parameters.pop("connect_timeout", None))
        encoded = urlencode(_translated(parameters), quote_via=quote)
        path = f"{quote(unquote(database), safe='')}{'?' if encoded else ''}{encoded}"
        is_cockroachdb = bool(_SCHEMES[name]) or hosts.partition(",")[0].endswith(_COCKROACHDB_PORT)

        def at(place: str, *each: PostgresqlUrl) -> PostgresqlUrl:
            shown = f"{place or parameters['host']}/{unquote(database)}"
            return cls(f"postgresql://{credentials}{place}/{path}", shown, timeout, is_cockroachdb, each)

        has_to_compare = parameters.get("target_session_attrs") == "prefer-standby"
        return at(hosts, *([] if has_to_compare or "," not in hosts else map(at, hosts.split(","))))


def split_urls(text: str) -> list[str]:
    """Split a list of URLs at commas and spaces between them; a comma between a URL's hosts splits nothing."""
    return [url for url in re.split(r"[\s,]+(?=[A-Za-z0-9+]+://)", text.strip()) if url]


def _split_credentials(rest: str) -> tuple[str, str]:
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        at = authority.rfind("@")
    else:
        # A password that nobody encoded may hold one of / ? #. What stands before that is then no host with its port.
        _, colon, port = authority.partition(":")
        at = (rest if colon and not port.isdigit() else rest.partition("?")[0]).rfind("@")
    if at < 0:
        return "", rest
    user, colon, password = rest[:at].partition(":")
    encoded = quote(unquote(user), safe="")
    return f"{encoded}{colon}{quote(unquote(password), safe='')}@", rest[at + 1 :]


def _host(text: str, default_port: str) -> str:
    match = _HOST.fullmatch(text)
    if match is None or (match["port"] and not 0 < int(match["port"]) < 65536):
        raise ValueError("must have hosts of the form name or name:port, separated by commas")
    return text if match["port"] else f"{text}{default_port}"


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text) or None
    except ValueError:
        raise ValueError("must have a number of seconds in connect_timeout") from None


def _translated(parameters: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in parameters.items() if name.lower() not in _NOT_FOR_THE_SERVER}
    if "ssl" in kept:
        kept.setdefault("sslmode", kept.pop("ssl"))
    if "sslmode" in kept:
        kept["sslmode"] = _SSL_MODES.get(kept["sslmode"].lower(), kept["sslmode"])
    if "schema" in kept:
        kept.setdefault("search_path", kept.pop("schema"))
    return kept
