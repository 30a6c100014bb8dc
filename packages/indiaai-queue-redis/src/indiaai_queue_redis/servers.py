"""Where the servers of a queue are: one, those that sentinels name, or the nodes of a cluster; imported by the link to them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from indiaai_core.errors import Fault, InvalidSettings
from indiaai_queue_redis.address import Login, Place
from indiaai_queue_redis.partition import bases_of, slot_of
from indiaai_queue_redis.settings import RedisSettings
from indiaai_queue_redis.trouble import Breakdown, Refusal

if TYPE_CHECKING:
    from indiaai_queue_redis.wire import Wire

__all__ = ["Servers", "ended"]

Answer = TypeVar("Answer")

CLUSTER_PARTITIONS = 12
"""Partitions of a new queue on a cluster: they can be dealt out evenly to 2, 3, 4, 6 and 12 nodes."""

STRAGGLER_SECONDS = 0.25
"""How long the others are waited for when the first has answered: it may be the one that has not heard of a failover."""

logger = logging.getLogger("indiaai.queue.redis")


class _View(NamedTuple):
    """What one server says about itself and the others."""

    rank: tuple[bool, int]
    """How much it is to be believed: whether it sees a cluster that works, and as of which epoch."""
    shards: list[tuple[int, int, Place]]
    """First and last slot of each range, and the primary that has it; none: it is no node of a cluster."""
    nodes: tuple[Place, ...]
    kept: bytes | None
    """Of no cluster: the queue's key `format`."""


class Servers:
    """The servers of one queue, as one event loop of one process knows them; tasks of that loop may share it."""

    def __init__(self, settings: RedisSettings) -> None:
        """Hold where to ask; nothing is asked yet."""
        self._settings, self._address = settings, settings.address
        self.partitions: tuple[str, ...] = ()
        """What the keys of each partition begin with; empty until `open` has asked."""
        self._options: dict[str, Any] = {}
        self._primary: Place | None = self._address.places[0] if self._address.places else None
        self._shards: list[tuple[int, int, Place]] = []
        self._nodes: tuple[Place, ...] = ()
        self._search: asyncio.Task[None] | None = None
        self._is_closed = False
        self._clients: dict[Place | None, Any] = {}

    async def open(self) -> None:
        """Find out what the servers are, once.

        Raises:
            ConfigurationError: The address cannot be used, or what is there does not fit it.
            Trouble, OSError: They do not answer, or do not let us in.
        """
        if not self.partitions:
            await self.refresh()

    async def refresh(self, error: Exception | None = None) -> None:
        """Ask again where they are, after an error that hints at a failover; raises what `open` does.

        Who calls it while another call asks gets that one's answer.

        Args:
            error: What happened; MOVED names a node that knows more.
        """
        self._refuse_if_closed()
        is_stranger = not self._shards and "MOVED" in str(error)  # a node of a cluster, whom we took for a single server
        if is_stranger or "INDIAAIFORMAT 1 in " in str(error):  # or somebody spread the queue before we wrote its first task
            self.partitions = ()
        if self._search is None or self._search.done():
            self._search = asyncio.create_task(self._find(_named_in(error)))
            self._search.add_done_callback(_take_note)
        search = self._search
        try:
            await asyncio.shield(search)
        except asyncio.CancelledError:
            if search.cancelled():
                self._refuse_if_closed()
            raise
        if is_stranger and not self._shards:
            found = f"{self._address.shown} is a node of a cluster, and does not tell its user about the others"
            raise InvalidSettings([Fault("REDIS_URL", found, "a user with the right to CLUSTER SLOTS and CLUSTER INFO")])

    async def wire(self, base: str) -> Wire:
        """Return a connection, not made yet, to the primary that has a partition now."""
        await self.open()
        return self._wire_to(self.place_of(base))

    def place_of(self, base: str) -> Place | None:
        """Return where a partition's primary is, or None for a Unix socket; raises `Refusal` where there is none."""
        if not self._shards:
            return self._primary
        slot = slot_of(base)
        for first, last, place in self._shards:
            if first <= slot <= last:
                return place
        raise Refusal(f"CLUSTERDOWN no node has the slot {slot}")

    @property
    def client(self) -> Any:
        """A client of redis-py's, with connections of its own: to the primary, or to the cluster once it is known as one."""
        place = None if self._shards else self._primary
        if place not in self._clients:
            self._clients[place] = self._make_client(place)
        return self._clients[place]

    async def aclose(self) -> None:
        """Close the clients' connections; who still waits to hear where the servers are is told that nobody asks any more."""
        self._is_closed = True
        if self._search is not None:
            self._search.cancel()
            await asyncio.wait([self._search])
        for client in self._clients.values():
            await client.aclose()

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise ended()

    async def _find(self, named: Place | None) -> None:
        if self._address.service:
            self._primary = await self._ask_sentinels()
        if self._shards or not self.partitions:
            view = await self._look_around(named)
            self._shards, self._nodes = view.shards, view.nodes
            if not self.partitions:
                self.partitions = bases_of(self._settings.base, await self._agree(view))

    async def _look_around(self, named: Place | None) -> _View:
        """Return what is to be believed of what the servers say about themselves."""
        seeds = (self._primary,) if self._address.service else self._address.places or (None,)
        places = dict.fromkeys(place for place in (named, *self._nodes, *seeds) if place or not self._address.places)
        views = await _survey([self._look(place) for place in places])
        return max(views, key=lambda view: view.rank)

    async def _look(self, place: Place | None) -> _View:
        asked = ("CLUSTER", "SLOTS"), ("CLUSTER", "INFO"), ("GET", f"{self._settings.base}format")
        slots, told, kept = await self._wire_to(place).talk(*asked)
        if isinstance(slots, Exception) and _is_alone(slots):
            return _View((True, 0), [], (), _sound(kept))
        ranges = [(first, last, [_place(node, place) for node in nodes]) for first, last, *nodes in _sound(slots)]
        told = told.decode() if isinstance(told, bytes) else ""  # who may not ask that is to be believed less
        epoch = re.search(r"cluster_current_epoch:(\d+)", told)
        rank = "cluster_state:ok" in told, int(epoch[1]) if epoch else 0
        shards = [(first, last, nodes[0]) for first, last, nodes in ranges if nodes[0]]
        if not shards:
            raise Refusal("CLUSTERDOWN no node has any slots")
        return _View(rank, shards, tuple(node for _, _, nodes in ranges for node in nodes if node), None)

    async def _agree(self, view: _View) -> int:
        """Return the number of partitions of the queue; whoever comes first decides on it, by one key that all look at.

        The scripts look at that key as well: a client that takes the queue for one of a single partition writes nothing to one
        that is spread.
        """
        root, kept = self._settings.base, view.kept
        wanted = self._settings.partitions or (CLUSTER_PARTITIONS if view.shards else 1)
        if view.shards or (kept is None and self._settings.partitions):
            form = f"1 in {wanted}" if wanted > 1 else "1"
            asked = ("SET", f"{root}format", form, "NX"), ("GET", f"{root}format")
            done, kept = await self._wire_to(self.place_of(root)).talk(*asked)
            kept = _sound(kept) or (_sound(done) and None)
        found = re.fullmatch(rb"1 in (\d+)", kept or b"")
        count = int(found[1]) if found else 1
        if self._settings.partitions not in (0, count):
            said = "The queue %r has %d partition(s) since it was made: REDIS_PARTITIONS=%d changes nothing."
            logger.warning(self._settings.variables(said), self._settings.queue_name, count, self._settings.partitions)
        return count

    def _wire_to(self, place: Place | None, login: Login | None = None) -> Wire:
        from indiaai_queue_redis.wire import Borrowed, Wire

        patience = self._settings.timeout_seconds
        if self._address.is_plain:
            return Wire(self._address, place, login or self._address.login, patience)
        others = dict(zip(("username", "password", "db"), login, strict=True)) if login else {}
        return Borrowed(self._connect_to(place, **{name: value or None for name, value in others.items()}), patience)

    def _connect_to(self, place: Place | None, **others: Any) -> Any:
        from redis.asyncio.connection import Connection

        options = self._options or self._read_options()
        kind = options.get("connection_class", Connection)
        where = dict(zip(("host", "port"), place, strict=True)) if place else {}
        values = {name: value for name, value in (options | where | others).items() if name != "connection_class"}
        try:
            return kind(**values)
        except (ValueError, TypeError) as error:  # it does not know the address's options
            raise _refused(error) from error

    def _make_client(self, place: Place | None) -> Any:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.cluster import ClusterNode, RedisCluster
        from redis.asyncio.connection import SSLConnection

        self._connect_to(place)  # finds out whether it knows the address's options; opens nothing
        options, bound = dict(self._options), self._settings.max_connections
        if self._shards:
            is_tls = options.pop("connection_class", None) is SSLConnection
            for name in ("host", "port", "db", "retry"):
                options.pop(name, None)
            nodes = [ClusterNode(*node) for node in dict.fromkeys(self._nodes)]
            return RedisCluster(startup_nodes=nodes, ssl=is_tls, max_connections=bound, **options)
        where: dict[str, Any] = dict(zip(("host", "port"), place, strict=True)) if place else {}
        patience = self._settings.timeout_seconds
        pool = BlockingConnectionPool(max_connections=bound, timeout=patience, **options | where)
        return Redis.from_pool(pool)

    def _read_options(self) -> dict[str, Any]:
        """Return what connections are made with: the address's options, and over them what the queue needs."""
        from redis.asyncio.connection import parse_url
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        try:
            options: dict[str, Any] = {**parse_url(self._address.plain)}
        except ValueError as error:
            raise _refused(error) from error
        for name in ("max_connections", "timeout"):  # a pool's, which there is none of
            options.pop(name, None)
        patience = self._settings.timeout_seconds
        # A blind second try could queue a task twice or lose a delivery: `LinkSet.run` tells the script that it is one.
        options |= {"retry": Retry(NoBackoff(), 0), "socket_timeout": patience, "socket_connect_timeout": patience}
        # An id that has no form in UTF-8 is one that no task has, and is to be looked for in vain like others.
        options |= {"protocol": 2, "decode_responses": False, "encoding": "utf-8", "encoding_errors": "surrogatepass"}
        self._options = options
        return options

    async def _ask_sentinels(self) -> Place:
        """Return where the primary is, by the sentinel that knows of the latest failover."""
        answers = await _survey([self._ask_sentinel(place) for place in self._address.places])
        return max(answers)[1]

    async def _ask_sentinel(self, place: Place) -> tuple[int, Place]:
        secret = self._settings.sentinel_password
        login = self._settings.sentinel_username or "", secret.get_secret_value() if secret else "", 0
        try:
            (reply,) = await self._wire_to(place, login).talk(("SENTINEL", "MASTER", self._address.service))
            told = dict(zip(_sound(reply)[::2], reply[1::2], strict=True))
        except Refusal as error:
            if not any(code in str(error) for code in ("NOAUTH", "WRONGPASS", "NOPERM", "without any password")):
                raise
            found = f"the sentinel at {place[0]}:{place[1]} does not let this user ask it"
            expected = "with REDIS_SENTINEL_USERNAME, a user who may ask SENTINEL MASTER"
            raise InvalidSettings([Fault("REDIS_SENTINEL_PASSWORD", found, expected)]) from error
        return int(told[b"config-epoch"]), (told[b"ip"].decode(), int(told[b"port"]))


def ended() -> Exception:
    """Return what a call fails with that was under way when its link was closed."""
    return Breakdown("the link was closed")


async def _survey(questions: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """Ask all at the same time; returns the answers that came in time, of which there is one at least."""
    pending = {asyncio.ensure_future(question) for question in questions}
    everyone, answers = tuple(pending), list[Answer]([])
    try:
        while pending:
            patience = STRAGGLER_SECONDS if answers else None
            done, pending = await asyncio.wait(pending, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            answers += [task.result() for task in done if not task.exception()]
            if not done:
                break
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    if not answers:
        raise _most_telling([error for task in everyone if (error := task.exception())])
    return answers


def _most_telling(errors: list[BaseException]) -> BaseException:
    """Return the error of one who answered, if any did."""
    return next((error for error in errors if not isinstance(error, Breakdown)), errors[0])


def _sound(reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return reply


def _is_alone(error: Exception) -> bool:
    """Tell whether who answers so to CLUSTER is no node of a cluster, or for us none: our user may not know."""
    said = str(error).lower()
    return any(word in said for word in ("noperm", "cluster support disabled", "unknown command"))


def _place(node: Sequence[Any], asked: Place | None) -> Place | None:
    """Return where a node is; one that does not know its own name is where it was asked."""
    host = node[0].decode() if node[0] else asked and asked[0]
    return (host, int(node[1])) if host and host != "?" else None


def _named_in(error: Exception | None) -> Place | None:
    """Return the node that MOVED names."""
    found = re.search(r"(?:MOVED|^) ?\d+ (\S*):(\d+)", str(error))
    return (found[1], int(found[2])) if found and found[1] else None


def _take_note(search: asyncio.Task[None]) -> None:
    """Look at a search's error, lest asyncio warns of one for which nobody waits any more."""
    with suppress(asyncio.CancelledError):
        search.exception()


def _refused(error: Exception) -> InvalidSettings:
    fault = Fault("REDIS_URL", f"the client refuses one of its options ({error})", "options that redis-py documents")
    return InvalidSettings([fault])
