"""`indiaai new`: its commands, their arguments and help; what they do is in the modules beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["build_new_app"]

Into = Annotated[Path, typer.Option("--into", metavar="FOLDER", help="The folder in which the package's own is made.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits and '_', such as azure or search.")]


def build_new_app() -> typer.Typer:
    """Return the command line for who writes a backend or a layer."""
    app = typer.Typer(help="Begin a package: a backend of a layer, or a layer.", no_args_is_help=True)
    app.command("plugin")(_plugin)
    app.command("layer")(_layer)
    return app


def _plugin(
    layer: Annotated[str, typer.Argument(metavar="LAYER", help="The layer, such as storage; its package is installed.")],
    name: Name,
    *,
    into: Into = Path(),
    json: Json = False,
) -> None:
    """Write the package of a backend: complete, but for the methods that say what they are to do."""
    from indiaai_core.cli.new.plugin import plan_plugin
    from indiaai_core.cli.new.project import begin

    raise typer.Exit(begin(lambda: plan_plugin(layer, name), into=into, as_json=json))


def _layer(name: Name, *, into: Into = Path(), json: Json = False) -> None:
    """Write the package of a layer, with an interface, a first backend and a conformance suite: green as it stands."""
    from indiaai_core.cli.new.layer import plan_layer
    from indiaai_core.cli.new.project import begin

    raise typer.Exit(begin(lambda: plan_layer(name), into=into, as_json=json))
