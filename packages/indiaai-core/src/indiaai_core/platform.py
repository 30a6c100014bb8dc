"""The set of live services that an application runs on; imported by the layers' factories and the edges.

It knows no layer by name: what a layer is comes from discovery, what fills it from the variables.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

from indiaai_core.discovery import catalogue
from indiaai_core.environment import Environment
from indiaai_core.errors import ConfigurationError, Fault
from indiaai_core.hooks import HOOKS_GROUP, new_plugin_manager
from indiaai_core.layers import Service, lifecycle_of
from indiaai_core.selection import Selection, Slot, declared_slots, names_of, raise_together, select
from indiaai_core.spelling import point_out

if TYPE_CHECKING:
    from types import TracebackType

    from indiaai_core.health import Health

__all__ = ["Platform", "current_platform", "get_service", "request_origin", "use_platform"]

MOUNT_PATH = "/_indiaai"
"""Where the integration serves the routes that backends bring, as `/_indiaai/<layer>/<instance>`."""

Key = tuple[str, str | None]

request_origin: ContextVar[str] = ContextVar("indiaai_request_origin", default="")
"""Scheme, host and root path of the HTTP request that is being served, so that a link can be absolute; else empty."""

_chosen: ContextVar[Platform | None] = ContextVar("indiaai_platform", default=None)
_overrides: ContextVar[Mapping[Key, Any] | None] = ContextVar("indiaai_overrides", default=None)


class Platform:
    """The services an application runs on, opened and closed together.

    A platform makes each service once, at first use, from any thread; after a fork each process makes its own. Entered
    with `async with`, it makes all of them at once, checks them, is what the factories see, and closes them at the end.
    """

    def __init__(
        self, settings: Mapping[str, object] | None = None, *, requires: Mapping[str, AbstractSet[str]] | None = None
    ) -> None:
        """Hold what the services will be made from; nothing is read or made yet.

        Args:
            settings: Variables that win over the environment and `.env`, such as `{"STORAGE_TYPE": "local"}`.
            requires: The capabilities that the application needs of a layer, such as
                `{"storage": {"presign"}, "storage:archive": set()}`. A lack is an error at start.
        """
        self._settings = dict(settings or {})
        self._requires = {slot: frozenset(needs) for slot, needs in (requires or {}).items()}
        self._hooks: Any = None
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._services: dict[Key, Any] = {}
        self._made: dict[Key, Any] = {}

    @property
    def environment(self) -> Environment:
        """The variables as they are now: this platform's own over the process's over `.env`."""
        return Environment.read(self._settings)

    @property
    def hooks(self) -> Any:
        """The `pluggy.PluginManager` that holds this platform's hook implementations; register your own with it."""
        with self._lock:
            if self._hooks is None:
                self._hooks = _load_hooks()
            return self._hooks

    @property
    def services(self) -> Mapping[Slot, Any]:
        """The services that were made or put in place so far."""
        return {Slot(*key): service for key, service in self._services.items()}

    def get_service(self, layer: str, name: str | None = None) -> Any:
        """Return a layer's service: made at the first call, the same one after that.

        Args:
            layer: The layer's name.
            name: A named instance; None for the main one.

        Raises:
            ConfigurationError: The backend is not installed, does not fit or is not set up.
        """
        overrides = _overrides.get()
        if overrides is not None and (layer, name) in overrides:
            return overrides[layer, name]
        if self._process != os.getpid():
            self._start_anew_after_fork()
        try:
            return self._services[layer, name]
        except KeyError:
            return self._make_first(Slot(layer, name))

    def override(self, layer: str, service: Any, name: str | None = None) -> _Override:
        """Put a service in the place of a layer's own, for the whole platform, at once: what a test does.

        Args:
            layer: The layer's name.
            service: What the factories are to return. It is the caller's to close.
            name: A named instance; None for the main one.

        Returns:
            A context manager that takes the service out again at its end; it need not be entered.
        """
        key = (layer, name)
        with self._lock:
            previous = self._services.get(key)
            self._services[key] = service
        return _Override(self._services, key, service, previous)

    @contextmanager
    def override_here(self, layer: str, service: Any, name: str | None = None) -> Iterator[None]:
        """Put a service in the place of a layer's own within the block, for this task and those it starts only.

        What one request does for its tenant: others, at the same time, see what they saw before.
        """
        token = _overrides.set({**(_overrides.get() or {}), (layer, name): service})
        try:
            yield
        finally:
            _overrides.reset(token)

    def prepare(self) -> list[Selection]:
        """Find out what every layer's service will be made from, without making one.

        Raises:
            ConfigurationError: Something is wrong; the one error names every fault of every layer.
        """
        errors: list[ConfigurationError] = []
        selections: list[Selection] = []
        environment = self.environment
        for slot in declared_slots(environment, self._requires):
            if (slot.layer, slot.instance) in self._services:
                continue
            try:
                selection = select(slot, environment)
                self._require_capabilities(slot, selection.backend)
                selections.append(selection)
            except ConfigurationError as error:
                errors.append(error)
        try:
            point_out(selections, environment)
        except ConfigurationError as error:
            errors.append(error)
        raise_together(errors)
        return selections

    async def open(self) -> Self:
        """Make every selected service, check all of them side by side, and become what the factories see.

        Raises:
            ConfigurationError: The configuration is wrong; the one error names every fault.
            BackendUnavailable: A service cannot serve; it names every one that cannot.
        """
        selections = self.prepare()
        try:
            for selection in selections:
                self._make(selection.slot, selection)
            _entered.append(self)
            from indiaai_core.health import check_at_start, require_healthy

            require_healthy(self._named(await check_at_start(self._named_services())))
        except BaseException:
            await self.aclose()
            raise
        return self

    async def check(self) -> dict[str, Health]:
        """Check all services that were made, side by side, each for 2 seconds at most.

        Returns:
            The health of each, under its layer's name or `layer:instance`.
        """
        from indiaai_core.health import check_all

        return self._named(await check_all(self._named_services()))

    async def aclose(self) -> None:
        """Close the services that this platform made, the latest first. Calling it again does nothing.

        Raises:
            Exception: What the first service that failed to close raised, after all were asked to.
        """
        if self in _entered:
            _entered.remove(self)
        with self._lock:
            made, self._made = self._made, {}
            self._services = {key: service for key, service in self._services.items() if key not in made}
        failures: list[Exception] = []
        for (layer, name), service in reversed(made.items()):
            try:
                await lifecycle_of(service, "aclose")()
            except Exception as error:  # noqa: BLE001 - the others are to be closed all the same
                failures.append(error)
            self.hooks.hook.service_closed(layer=layer, name=name, service=service)
        if failures:
            raise failures[0]

    async def __aenter__(self) -> Self:
        """Open the platform."""
        return await self.open()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the platform."""
        await self.aclose()

    def _named_services(self) -> dict[str, Any]:
        return {str(slot): service for slot, service in self.services.items()}

    def _named(self, found: dict[str, Health]) -> dict[str, Health]:
        """Let errors of named instances say which of their variables it is, also where a stranger's backend does not."""
        for name, health in found.items():
            slot = Slot.parse(name)
            if health.error and slot.instance:
                names_of(slot, self.environment).in_error(health.error)
        return found

    def _make_first(self, slot: Slot) -> Any:
        with self._lock:
            service = self._services.get((slot.layer, slot.instance))
            if service is None:
                environment = self.environment
                selection = select(slot, environment)
                self._require_capabilities(slot, selection.backend)
                point_out([selection], environment)
                service = self._make(slot, selection)
            return service

    def _make(self, slot: Slot, selection: Selection) -> Any:
        with self._lock:
            key = (slot.layer, slot.instance)
            service = selection.make()
            if isinstance(service, Service):
                service.served_at = f"{MOUNT_PATH}/{slot.layer}/{slot.instance or 'default'}"
            hooked = self.hooks.hook.wrap_service(platform=self, layer=slot.layer, name=slot.instance)
            for wrapper in (*selection.wrappers, *hooked):
                service = wrapper(service)
            self._services[key] = self._made[key] = service
            self.hooks.hook.service_opened(layer=slot.layer, name=slot.instance, service=service)
            return service

    def _require_capabilities(self, slot: Slot, backend: type[Any]) -> None:
        lacking = sorted(self._requires.get(str(slot), frozenset()) - getattr(backend, "capabilities", frozenset()))
        if lacking:
            variable = self.environment.for_instance(slot.instance).named(f"{slot.layer.upper()}_TYPE")
            raise ConfigurationError(
                f"The application needs {', '.join(lacking)} of {slot}, and {backend.__name__} does not have it. "
                f"Select another backend with {variable}.",
                faults=[Fault(variable, f"{backend.__name__} lacks {', '.join(lacking)}", "a backend that has it")],
            )

    def _start_anew_after_fork(self) -> None:
        # The child has copies of the parent's connections and locks: it leaves them untouched and makes its own.
        self._lock = threading.RLock()
        self._services = {key: service for key, service in self._services.items() if key not in self._made}
        self._made = {}
        self._process = os.getpid()


class _Override:
    """What `Platform.override` put in place; leaving it as a context manager takes it out again."""

    def __init__(self, services: dict[Key, Any], key: Key, service: Any, previous: Any) -> None:
        self._services, self._key, self._service, self._previous = services, key, service, previous

    def __enter__(self) -> Any:
        return self._service

    def __exit__(self, *_: object) -> None:
        if self._previous is None:
            self._services.pop(self._key, None)
        else:
            self._services[self._key] = self._previous


_entered: list[Platform] = []
_default: Platform | None = None
_default_lock = threading.Lock()


def current_platform() -> Platform:
    """Return the platform that the factories see: the request's, else the one entered last, else the process's own.

    The process's own is made at the first call, from the environment, and closed by whoever wants it closed.
    """
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    if _entered:
        return _entered[-1]
    return _default or _make_default()


def get_service(layer: str, name: str | None = None) -> Any:
    """Return a layer's service from the current platform; the form for any layer, installed or to come.

    Args:
        layer: The layer's name.
        name: A named instance, whose variables are read with the prefix `<NAME>_` first; None for the main one.

    Raises:
        ConfigurationError: The layer or the backend is not installed, does not fit or is not set up.
    """
    return current_platform().get_service(layer, name)


@contextmanager
def use_platform(platform: Platform) -> Iterator[Platform]:
    """Make a platform what the factories see within the block, for this task and those it starts only."""
    token = _chosen.set(platform)
    try:
        yield platform
    finally:
        _chosen.reset(token)


def _make_default() -> Platform:
    global _default  # noqa: PLW0603 - the one platform of a process that enters none
    with _default_lock:
        if _default is None:
            _default = Platform()
        return _default


def _load_hooks() -> Any:
    import logging  # 7 ms that only a broken plugin costs

    manager = new_plugin_manager()
    for registration in catalogue().in_group(HOOKS_GROUP):
        try:
            manager.register(registration.load(), name=f"{registration.distribution}:{registration.name}")
        except Exception as error:  # noqa: BLE001 - nobody selected it, so it must not stop anybody
            logging.getLogger("indiaai").warning(
                "The hooks of %s do not load and are left out: %r", registration.distribution, error
            )
    return manager
