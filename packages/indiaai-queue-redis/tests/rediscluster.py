"""Several real servers that belong together, for the tests: a Redis Cluster, and a primary with replicas and sentinels."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from redisserver import RedisServer

SETTLE_SECONDS = 30
SLOTS = 16_384
FORGETFUL = ("--appendonly", "no", "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0")


def ask(server: RedisServer, *command: Any) -> Any:
    """Return a server's answer to a command, as it is."""
    with Redis(port=server.port, socket_timeout=5, protocol=2) as client:
        client.response_callbacks.clear()
        return client.execute_command(*command)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, with a bound; a server that does not answer does not meet it yet."""
    end = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < end:
        try:
            if condition():
                return
        except RedisError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {SETTLE_SECONDS} s")


class RedisCluster:
    """A cluster on loopback: primaries, and perhaps a replica of each, that notice a death within half a second."""

    def __init__(self, program: Path, folder: Path, *, primaries: int = 3, is_replicated: bool = False) -> None:
        """Hold how it is made; `start` makes it."""
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "500", "--cluster-replica-validity-factor", "0")
        count = primaries * (1 + is_replicated)
        self.nodes = [RedisServer(program, folder / f"node-{n}", *FORGETFUL, *options) for n in range(count)]
        self.primaries, self.replicas = self.nodes[:primaries], self.nodes[primaries:]

    def start(self) -> None:
        """Start the nodes, deal out the slots, and wait until all agree."""
        for node in self.nodes:
            node.start()
        bounds = [n * SLOTS // len(self.primaries) for n in range(len(self.primaries) + 1)]
        for node, first, end in zip(self.primaries, bounds, bounds[1:], strict=False):
            ask(node, "CLUSTER", "ADDSLOTS", *range(first, end))
        for n, node in enumerate(self.nodes):
            ask(node, "CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        for node in self.nodes[1:]:
            ask(self.nodes[0], "CLUSTER", "MEET", "127.0.0.1", node.port)
        wait_until(lambda: all(self._is_whole(node) for node in self.nodes), "the cluster comes together")
        for replica, primary in zip(self.replicas, self.primaries, strict=False):
            ask(replica, "CLUSTER", "REPLICATE", self.name_of(primary))
        for replica in self.replicas:
            wait_until(lambda node=replica: is_following(node), "a replica follows")  # type: ignore[misc]  # bound now

    def stop(self) -> None:
        """Stop every node."""
        for node in self.nodes:
            node.kill()

    def name_of(self, node: RedisServer) -> str:
        """Return what the cluster calls a node."""
        return str(ask(node, "CLUSTER", "MYID").decode())

    def move_slot(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Hand a slot with its keys to another primary, as `redis-cli --cluster reshard` does, in whole."""
        self.begin_to_move(slot, source, target)
        self.end_to_move(slot, source, target)

    def begin_to_move(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Announce that a slot is handed over, and hand over half of its keys."""
        ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.name_of(source))
        ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.name_of(target))
        keys = ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 1000)
        self._hand_over(keys[: len(keys) // 2], source, target)

    def end_to_move(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Hand over the rest of a slot's keys, and tell everybody."""
        self._hand_over(ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 1000), source, target)
        for node in (target, source, *self.primaries):
            ask(node, "CLUSTER", "SETSLOT", slot, "NODE", self.name_of(target))

    def _hand_over(self, keys: list[bytes], source: RedisServer, target: RedisServer) -> None:
        if keys:
            ask(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)

    def _is_whole(self, node: RedisServer) -> bool:
        told = ask(node, "CLUSTER", "INFO").decode().split()
        return "cluster_state:ok" in told and f"cluster_known_nodes:{len(self.nodes)}" in told


def is_following(node: RedisServer) -> bool:
    """Tell whether a replica has what its primary has."""
    return b"master_link_status:up" in ask(node, "INFO", "replication").split()


class SentinelSet:
    """A primary, its replicas, and sentinels that watch them and notice a death within half a second."""

    def __init__(self, program: Path, folder: Path, *, sentinels: int = 3, options: tuple[str, ...] = ()) -> None:
        """Hold how they are made; `start` makes them."""
        self.servers = [RedisServer(program, folder / f"server-{n}", *FORGETFUL, *options) for n in range(2)]
        self.sentinels = [RedisServer(program, folder / f"sentinel-{n}") for n in range(sentinels)]

    def start(self) -> None:
        """Start them all, and wait until the sentinels know the replica and each other."""
        primary, replica = self.servers
        for server in self.servers:
            server.start()
        ask(replica, "REPLICAOF", "127.0.0.1", primary.port)
        wait_until(lambda: is_following(replica), "the replica follows")
        for sentinel in self.sentinels:
            sentinel.folder.mkdir(parents=True)
            sentinel.start_as_sentinel(primary.port, quorum=len(self.sentinels) // 2 + 1)
        for sentinel in self.sentinels:
            wait_until(lambda node=sentinel: self._is_ready(node), "the sentinels know each other")  # type: ignore[misc]  # bound now

    def stop(self) -> None:
        """Stop them all."""
        for server in (*self.sentinels, *self.servers):
            server.kill()

    def url(self, user: str = "") -> str:
        """Return the address of the service behind the sentinels."""
        return f"redis+sentinel://{user}{','.join(f'127.0.0.1:{node.port}' for node in self.sentinels)}/queue"

    def _is_ready(self, sentinel: RedisServer) -> bool:
        told = ask(sentinel, "SENTINEL", "MASTER", "queue")
        state = dict(zip(told[::2], told[1::2], strict=True))
        return [state[b"num-slaves"], state[b"num-other-sentinels"]] == [b"1", b"%d" % (len(self.sentinels) - 1)]
