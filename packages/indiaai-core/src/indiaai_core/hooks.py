"""What many plugins may answer: pluggy's hook specifications; imported by plugins (`hookimpl`) and by the platform.

Where exactly one plugin answers, it is a backend. A hook is for what any number may do: wrap a service, hear that one
was opened or closed, add a command to the command line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from indiaai_core.platform import Platform

__all__ = ["HOOKS_GROUP", "HookSpecs", "Wrapper", "hookimpl", "new_plugin_manager"]

HOOKS_GROUP = "indiaai.hooks"
"""The entry-point group in which modules or objects with hook implementations register."""

hookspec = pluggy.HookspecMarker("indiaai")
hookimpl = pluggy.HookimplMarker("indiaai")
"""Marks a function as an implementation of the hook of its name."""

Wrapper = Callable[[Any], Any]
"""Takes a service and returns one with the same interface that stands in front of it."""


class HookSpecs:
    """The hooks, called in the order that pluggy gives: the plugin registered last comes first."""

    @hookspec
    def wrap_service(self, platform: Platform, layer: str, name: str | None) -> Wrapper | None:
        """Return what wraps a service that was just made, or None to leave it as it is.

        Called once a service, before anybody uses it. The first plugin's wrapper is the innermost. Nothing is paid at a
        call of a service that no plugin wraps: the application then holds the backend itself.

        Args:
            platform: The platform that made the service.
            layer: The service's layer.
            name: Its instance's name; None for the main one.
        """

    @hookspec
    def service_opened(self, layer: str, name: str | None, service: Any) -> None:
        """Hear that a service was made. It may not have connected yet."""

    @hookspec
    def service_closed(self, layer: str, name: str | None, service: Any) -> None:
        """Hear that a service was closed."""

    @hookspec
    def add_commands(self, app: Any) -> None:
        """Add commands to the command line.

        Args:
            app: The `typer.Typer` of `indiaai`.
        """


def new_plugin_manager() -> pluggy.PluginManager:
    """Return a plugin manager that knows the hooks and no plugin."""
    manager = pluggy.PluginManager("indiaai")
    manager.add_hookspecs(HookSpecs)
    return manager
