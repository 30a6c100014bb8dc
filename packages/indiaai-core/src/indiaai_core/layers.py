"""What a layer is and what every service has in common; imported by the layers' folders and by plugins."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from indiaai_core.errors import Fault, Unsupported

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

    from indiaai_core.settings import BackendSettings

__all__ = ["Layer", "Service", "lifecycle_of"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One kind of service that an application needs, registered in the group `indiaai.layers`.

    Attributes:
        name: What the variable `<NAME>_TYPE` and the group `indiaai.<name>` are made of: lower case, `[a-z][a-z0-9_]*`.
        interface: The abstract class that every backend of the layer extends. It extends `Service` itself, or else its
            backends are neither checked nor closed unless they have those methods.
        default_backend: The backend that is used when `<NAME>_TYPE` is not set.
        contract_version: The version of the contract that `interface` states. Raise it when a backend
            that was right before would be wrong after.
        conformance: Where the layer's conformance suite is, as `module:Class`, for who begins a backend; None for nowhere.
            It is not imported but by those who test.
        is_repeatable: Says whether an operation, with these arguments by their names, may be called once more when it
            is not known what became of it: what the wrapper `retry` goes by. None: nobody has said.
    """

    name: str
    interface: type[Any]
    default_backend: str
    contract_version: int = 1
    conformance: str | None = None
    is_repeatable: Callable[[str, Mapping[str, Any]], bool] | None = None

    @property
    def group(self) -> str:
        """The entry-point group in which backends of this layer register."""
        return f"indiaai.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that selects the backend."""
        return f"{self.name.upper()}_TYPE"

    @property
    def wrappers_variable(self) -> str:
        """The environment variable that names the wrappers in front of the backend, the outermost first."""
        return f"{self.name.upper()}_WRAPPERS"


class Service(ABC):  # noqa: B024 - what must be implemented is each layer's to say
    """A live instance of a backend; the common root of the layers' interfaces.

    A backend's author guarantees: making an instance neither blocks nor connects (that happens at first use, or in
    `check`); one instance may be shared by any number of tasks of one event loop; `aclose` may be called twice.

    Attributes:
        capabilities: What the backend can do beyond the abstract methods. The conformance suite tests exactly
            those, and that everything else raises `Unsupported`.
        contract_version: The version of the layer's contract that the backend was written for.
            State it in the backend's own class body; a core that needs another refuses the backend by name.
        settings_class: The class of the backend's settings. The platform makes the backend as `cls(settings)`,
            or as `cls()` where this is None.
        served_at: Where the platform serves the backend's own HTTP routes (`http_app`), without a trailing slash;
            None while no platform holds the service.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset()
    contract_version: ClassVar[int] = 1
    settings_class: ClassVar[type[BackendSettings] | None] = None
    served_at: str | None = None

    @property
    def client(self) -> Any:
        """The client library's own object, for what the interface does not cover.

        Raises:
            Unsupported: The backend stands on no client.
        """
        raise Unsupported(type(self).__name__, "client")

    @property
    def http_app(self) -> Any:
        """An ASGI application for the routes that the backend needs served (signed local files); None for most.

        The integration serves it under `served_at`: its `scope["path"]` is relative to that, as for any mount.
        """
        return None

    async def check(self) -> None:
        """Open what is not open yet, and prove that the backend can serve.

        Called at start and by health checks, often and side by side with other calls: it must be cheap, must leave
        nothing behind, and may be cancelled after 2 seconds.

        Raises:
            BackendUnavailable: It cannot serve now.
            ConfigurationError: It never will with these settings.
        """

    async def probe(self) -> None:
        """Prove by a full round trip that the backend serves: what `indiaai check` does, once.

        The default is `check`; a layer's interface overrides it with its own operations. It leaves nothing behind.

        Raises:
            IndiaAIError: A step failed.
        """
        await self.check()

    async def caveats(self) -> Sequence[Fault]:
        """Return what an operator should know of a backend that serves: a store that forgets at a restart, a clock that is off.

        `indiaai check` asks once, after `probe`, and warns of each; a start never asks. What cannot be found out is no
        caveat, and a set-up that is as it should be has none. It leaves nothing behind. The default knows of none.

        Returns:
            What was found, what would be right, and the command or the change that mends it.
        """
        return ()

    async def aclose(self) -> None:
        """Release connections, files and tasks. Calling it again does nothing."""

    async def __aenter__(self) -> Any:
        """Return the service itself."""
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the service."""
        await self.aclose()


def lifecycle_of(service: object, *names: str) -> Callable[[], Awaitable[Any]]:
    """Return the first of these methods that a service has, or one that does nothing.

    A stranger's interface need not extend `Service`; the platform asks it for no more than it has.

    Args:
        service: The service.
        names: The methods, such as `probe` and then `check`.
    """
    return next((getattr(service, name) for name in names if hasattr(service, name)), _do_nothing)


async def _do_nothing() -> None:
    pass
