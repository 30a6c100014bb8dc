"""The platform: one service each, made once, replaced for a test, closed at the end."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from indiaai_core import (
    BackendUnavailable,
    ConfigurationError,
    InvalidSettings,
    Platform,
    current_platform,
    get_queue_service,
    get_service,
    get_storage_service,
    hookimpl,
    use_platform,
)
from indiaai_core import platform as platform_module
from indiaai_core.selection import Slot
from installed import DICT_STORAGE, SETTLED, SitePackages

pytestmark = pytest.mark.anyio


@pytest.fixture
def local(site: SitePackages) -> SitePackages:
    """An installation whose default storage backend is a dict."""
    site.backend("local")
    return site


def in_a_new_context(function: Callable[[], Any]) -> Any:
    """Run a function as another task would see the world."""
    return contextvars.Context().run(function)


def test_the_factory_gives_the_same_service_every_time(local: SitePackages) -> None:
    """A service is made at the first call, and a named instance is another one."""
    service = get_storage_service()

    assert get_storage_service() is service
    assert get_service("storage") is service
    assert get_storage_service("archive") is not service
    assert service.served_at == "/_indiaai/storage/default"
    assert get_storage_service("archive").served_at == "/_indiaai/storage/archive"


def test_first_use_from_64_threads_makes_one_service(site: SitePackages) -> None:
    """However many threads come first at once, there is one service."""
    slow = DICT_STORAGE.replace("self.objects = {}", "import time; time.sleep(0.02); self.objects = {}")
    site.backend("local", source=slow)
    gate = threading.Barrier(64)
    found: list[Any] = []

    def use() -> None:
        gate.wait()
        found.append(get_storage_service())

    threads = [threading.Thread(target=use) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 64
    assert len({id(service) for service in found}) == 1


def test_the_process_s_own_platform_is_made_once() -> None:
    """Threads that come to an empty process at once share one platform."""
    first = current_platform()

    assert platform_module._make_default() is first


def test_a_forked_process_makes_its_own(local: SitePackages) -> None:
    """A child that was forked never uses its parent's connections; what a test put in place stays."""
    parent: Any = get_storage_service()
    current_platform().override("queue", "the test's own")
    read_end, write_end = os.pipe()

    child = os.fork()
    if child == 0:  # pragma: no cover - runs in the child, which must not return to pytest
        is_own = get_storage_service() is not parent and get_service("queue") == "the test's own"
        os.write(write_end, b"y" if is_own else b"n")
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(read_end, 1) == b"y"
    assert get_storage_service() is parent
    os.close(read_end)
    os.close(write_end)


def test_a_process_that_finds_another_s_services_starts_anew(local: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process id, and no hook at fork, tells that the services are somebody else's."""
    parent: Any = get_storage_service()

    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert get_storage_service() is not parent


async def test_entering_opens_checks_and_closes_all(local: SitePackages) -> None:
    """Inside `async with` the factories see the platform's services; after it they are closed."""
    async with Platform() as platform:
        service: Any = get_storage_service()
        assert current_platform() is platform
        assert platform.services == {Slot("storage"): service}

    assert service.is_closed
    assert platform.services == {}
    assert current_platform() is not platform
    await platform.aclose()


async def test_a_platform_can_be_opened_again(local: SitePackages) -> None:
    """What was closed starts anew, with services of its own."""
    platform = Platform()
    async with platform:
        first = get_storage_service()
    async with platform:
        assert get_storage_service() is not first


async def test_entering_keeps_what_was_put_in_place(local: SitePackages) -> None:
    """An override made before the start is used, not made anew and not closed."""
    platform = Platform()
    mine = local_service()
    platform.override("storage", mine)

    async with platform:
        assert get_service("storage") is mine

    assert not mine.is_closed
    assert platform.get_service("storage") is mine


def local_service() -> Any:
    """Make a storage service that belongs to the test."""
    return type(get_storage_service())()


async def test_variables_given_in_code_win(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Platform(settings)` selects without touching the environment."""
    site.backend("a")
    site.backend("b")
    monkeypatch.setenv("STORAGE_TYPE", "a")

    assert type(Platform({"STORAGE_TYPE": "b"}).get_service("storage")).__module__ == "acme_storage_b_module"
    assert type(Platform().get_service("storage")).__module__ == "acme_storage_a_module"


async def test_all_faults_of_all_layers_come_at_start_in_one_error(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing plugin, an unknown name and a misspelt variable are found before anything is made."""
    site.backend("local")
    monkeypatch.setenv("STORAGE_TYPE", "r2")
    monkeypatch.setenv("QUEUE_TYPE", "redis!")
    monkeypatch.setenv("QUEUE_TPYE", "x")
    monkeypatch.setenv("INDIAAI_STRICT", "1")

    with pytest.raises(ConfigurationError) as caught:
        await Platform().open()

    assert [fault.variable for fault in caught.value.faults] == ["QUEUE_TYPE", "STORAGE_TYPE", "QUEUE_TPYE"]
    assert "pip install indiaai-storage-r2" in str(caught.value)


async def test_a_lack_of_what_the_application_needs_is_an_error_at_start(local: SitePackages) -> None:
    """`requires` is checked against the backend's declaration, before the first call."""
    with pytest.raises(ConfigurationError, match="needs list, presign of storage, and Backend does not have it"):
        await Platform(requires={"storage": {"presign", "list"}}).open()
    with pytest.raises(ConfigurationError, match="needs list of storage"):
        Platform(requires={"storage": {"list"}}).get_service("storage")


async def test_a_service_that_cannot_serve_stops_the_start_and_is_closed(site: SitePackages) -> None:
    """A failed check at start closes what was made."""
    failing = DICT_STORAGE + (
        "\n        async def check(self):\n            from indiaai_core import BackendUnavailable\n"
        "            raise BackendUnavailable('the disk is gone')\n"
    )
    site.backend("local", source=failing)
    platform = Platform()
    service: Any = platform.get_service("storage")

    with pytest.raises(BackendUnavailable, match="the disk is gone"):
        await platform.open()

    assert service.is_closed
    assert current_platform() is not platform


@pytest.mark.parametrize("prefix", ["ARCHIVE_", ""])
async def test_a_stranger_s_fault_of_a_named_instance_names_the_instance_s_variable(site: SitePackages, prefix: str) -> None:
    """At start and when asked, whatever its backend knows of instances; a bare one that was fallen back to is named bare."""
    site.backend("local")
    site.backend("acme", source=DICT_STORAGE + SETTLED)
    platform = Platform({"ARCHIVE_STORAGE_TYPE": "acme", f"{prefix}ACME_URL": "acme://"})
    platform.get_service("storage", "archive")

    found = (await platform.check())["storage:archive"].error
    with pytest.raises(InvalidSettings) as raised:
        await platform.open()

    assert isinstance(found, InvalidSettings)
    assert str(found) == str(raised.value)
    (fault,) = raised.value.faults
    assert (fault.variable, fault.remedy) == (f"{prefix}ACME_URL", f"mend {prefix}ACME_URL or ARCHIVE_STORAGE_TYPE")


async def test_a_service_that_cannot_be_made_leaves_no_other_open(site: SitePackages) -> None:
    """A backend whose making raises stops the start, and those made before it are closed."""
    site.backend("good")
    site.backend("bad", source=DICT_STORAGE.replace("self.objects = {}", "raise RuntimeError('no')"))
    closed: list[str | None] = []

    class Plugin:
        @hookimpl
        def service_closed(self, name: str | None) -> None:
            closed.append(name)

    platform = Platform({"STORAGE_TYPE": "good", "Z_STORAGE_TYPE": "bad"})
    platform.hooks.register(Plugin())

    with pytest.raises(RuntimeError, match="no"):
        await platform.open()

    assert closed == [None]
    assert platform.services == {}


async def test_all_are_closed_even_if_one_fails_to(site: SitePackages) -> None:
    """A service that raises at its close does not leave the others open, and its error is heard."""
    site.backend("bad", source=DICT_STORAGE.replace("self.is_closed = True", "raise RuntimeError('no')"))
    site.backend("good")
    platform = Platform({"A_STORAGE_TYPE": "good", "B_STORAGE_TYPE": "bad"})
    good = platform.get_service("storage", "a")
    platform.get_service("storage", "b")

    with pytest.raises(RuntimeError, match="no"):
        await platform.aclose()

    assert good.is_closed


def test_an_override_is_at_once_and_ends_with_its_block(local: SitePackages) -> None:
    """What a test puts in place is what everybody sees, until the block ends."""
    platform = current_platform()
    before = get_storage_service()

    with platform.override("storage", "mine") as mine:
        assert mine == "mine"
        assert get_storage_service() == in_a_new_context(get_storage_service) == "mine"

    assert get_storage_service() is before
    with platform.override("queue", "mine"):
        assert get_queue_service() == "mine"  # type: ignore[comparison-overlap] # a test's stand-in
    assert Slot("queue") not in platform.services


async def test_an_override_here_is_seen_by_this_task_only(local: SitePackages) -> None:
    """What one request puts in place, another at the same time does not see."""
    platform = current_platform()
    shared = get_storage_service()
    is_inside, may_leave = asyncio.Event(), asyncio.Event()

    async def tenant() -> Any:
        with platform.override_here("storage", "tenant's"), platform.override_here("storage", "old", "archive"):
            is_inside.set()
            await may_leave.wait()
            return get_storage_service(), get_storage_service("archive"), get_storage_service("third")

    task = asyncio.create_task(tenant())
    await is_inside.wait()
    seen_outside = get_storage_service()
    may_leave.set()

    assert seen_outside is shared
    assert (await task)[:2] == ("tenant's", "old")
    assert get_storage_service() is shared


def test_a_chosen_platform_is_seen_here_only(local: SitePackages) -> None:
    """Two applications in one process each run on their own platform."""
    platform = Platform()

    with use_platform(platform):
        assert current_platform() is platform
        assert in_a_new_context(current_platform) is not platform

    assert current_platform() is not platform


def test_a_bad_file_of_variables_stops_the_first_use(local: SitePackages, tmp_path: Path) -> None:
    """An unreadable `.env` is said, not skipped."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe")

    with pytest.raises(InvalidSettings, match=r"\.env"):
        get_storage_service()


async def test_hooks_wrap_and_hear(local: SitePackages) -> None:
    """A hook may put something in front of a service, and hears when it was made and closed."""
    heard: list[str] = []

    class Plugin:
        @hookimpl
        def wrap_service(self, layer: str) -> Callable[[Any], Any] | None:
            return (lambda service: (layer, service)) if layer == "storage" else None

        @hookimpl
        def service_opened(self, layer: str, name: str | None) -> None:
            heard.append(f"opened {layer} {name}")

    platform = Platform()
    platform.hooks.register(Plugin())

    layer, service = platform.get_service("storage", "archive")

    assert layer == "storage"
    assert type(service).__name__ == "Backend"
    assert heard == ["opened storage archive"]


async def test_closing_is_heard(local: SitePackages) -> None:
    """A hook hears of every service that was closed."""
    heard: list[str] = []

    class Plugin:
        @hookimpl
        def service_closed(self, layer: str) -> None:
            heard.append(layer)

    platform = Platform()
    platform.hooks.register(Plugin())
    async with platform:
        pass

    assert heard == ["storage"]


def test_installed_hooks_are_registered_and_a_broken_one_is_left_out(
    local: SitePackages, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody selects a hook, so one that does not load is said in the log and stops nobody."""
    source = "from indiaai_core import hookimpl\n@hookimpl\ndef wrap_service(layer): return lambda service: 'wrapped'\n"
    local.install("acme-hooks", entry_points="[indiaai.hooks]\nacme = acme_hooks\n", modules={"acme_hooks": source})
    local.install(
        "bad-hooks", entry_points="[indiaai.hooks]\nbad = bad_hooks\n", modules={"bad_hooks": "raise ValueError('x')"}
    )

    assert get_storage_service() == "wrapped"  # type: ignore[comparison-overlap] # what the hook made of it
    assert "The hooks of bad-hooks do not load" in caplog.text


def test_nothing_wraps_where_nobody_asked(local: SitePackages) -> None:
    """Without a wrapper the application holds the backend itself: a call costs nothing more."""
    assert type(get_storage_service()).__name__ == "Backend"


async def test_a_stranger_s_layer_need_not_extend_service(site: SitePackages) -> None:
    """An interface of one abstract method is a layer: its backend is made and opened, and asked for no more than it has."""
    source = """
        from abc import ABC, abstractmethod
        from indiaai_core import Layer

        class Notify(ABC):
            @abstractmethod
            async def send(self, text): ...

        class Backend(Notify):
            __slots__ = ()

            async def send(self, text):
                return text

        LAYER = Layer("notify", Notify, "console")
    """
    entry_points = "[indiaai.layers]\nnotify = acme_notify:LAYER\n[indiaai.notify]\nconsole = acme_notify:Backend\n"
    site.install("acme-notify", entry_points=entry_points, modules={"acme_notify": source})

    async with Platform() as platform:
        sent = await get_service("notify").send("hello")
        found = await platform.check()

    assert sent == "hello"
    assert found["notify"].is_healthy
