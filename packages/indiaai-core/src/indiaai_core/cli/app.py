"""The commands' names, arguments and help; what they do is in the modules beside this one."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from indiaai_core.cli.logs import LogFormat, LogOption
from indiaai_core.cli.new import build_new_app
from indiaai_core.cli.output import print_failure
from indiaai_core.cli.queue import build_queue_app
from indiaai_core.cli.storage import build_storage_app
from indiaai_core.cli.version import print_version
from indiaai_core.platform import current_platform

__all__ = ["build_app"]

PIPE_COLUMNS = 1000
"""How wide help is where it is read by a program: each of its lines is whole."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


class _Interruptible(TyperGroup):
    """Ends any command, a plugin's too, at Ctrl-C with the status that shells know; typer's own is 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print_failure("Interrupted.")
            raise SystemExit(128 + signal.SIGINT) from None


def build_app() -> typer.Typer:
    """Return the command line with the core's commands and those that installed plugins add."""
    app = typer.Typer(
        name="indiaai",
        cls=_Interruptible,
        # Boxes are for people; in a pipe they would cut what is said to 80 columns.
        rich_markup_mode="rich" if sys.stdout.isatty() else None,
        context_settings={} if sys.stdout.isatty() else {"terminal_width": PIPE_COLUMNS},
        help="See, check and run what an indiaai application stands on.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=sys.stdout.isatty(),
        pretty_exceptions_show_locals=False,  # they may hold secrets
    )
    app.callback()(_root)
    app.command("plugins")(_plugins)
    app.command("check")(_check)
    app.command("config")(_config)
    app.command("worker")(_worker)
    app.add_typer(build_storage_app(), name="storage")
    app.add_typer(build_queue_app(), name="queue")
    app.add_typer(build_new_app(), name="new")
    current_platform().hooks.hook.add_commands(app=app)
    return app


def _print_version(asked: bool) -> None:
    if asked:
        print_version()
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass  # the option's callback does the work


def _plugins(
    *,
    json: Json = False,
    load: Annotated[
        bool, typer.Option("--load", help="Load each backend: shows what it can do, or why it does not load.")
    ] = False,
) -> None:
    """List the layers, the backends that are installed for each, and which one is selected."""
    from indiaai_core.cli.plugins import show_plugins

    show_plugins(as_json=json, is_loading=load)


def _check(
    *, json: Json = False, strict: Annotated[bool, typer.Option("--strict", help="Fail at warnings, too.")] = False
) -> None:
    """Check the installation and the settings, and make a live round trip through each backend; exit 1 where one fails."""
    from indiaai_core.cli.check import run_checks

    raise typer.Exit(run_checks(as_json=json, is_strict_asked=strict))


def _config(*, json: Json = False) -> None:
    """Show each setting, its value (secrets masked) and where it came from; exit 1 where one is wrong."""
    from indiaai_core.cli.config import show_config

    raise typer.Exit(show_config(as_json=json))


def _worker(
    worker: Annotated[str, typer.Argument(metavar="MODULE:WORKER", help="Where the worker is, such as main:worker.")],
    *,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", "-c", min=1, help="Tasks worked at once by a process; the worker's own without it."),
    ] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", "-q", metavar="NAME[=WEIGHT]", help="A named queue to work, or default; may be repeated."),
    ] = None,
    processes: Annotated[int, typer.Option("--processes", "-p", min=1, help="Processes to work in.")] = 1,
    reload: Annotated[bool, typer.Option("--reload", help="Start anew when a Python file here changes.")] = False,
    log_format: LogOption = LogFormat.TEXT,
) -> None:
    """Work the tasks of a shared queue until interrupted; a second interrupt stops at once."""
    from indiaai_core.cli.work import Work
    from indiaai_core.cli.worker import run_worker

    queues = dict(_weighted(text) for text in queue or ())
    work = Work(worker, concurrency=concurrency, queues=queues, processes=processes, log_format=log_format.value)
    raise typer.Exit(run_worker(work, reload=reload))


def _weighted(text: str) -> tuple[str, int]:
    name, _, weight = text.partition("=")
    if not name or not (weight or "1").isdecimal() or int(weight or 1) < 1:
        raise typer.BadParameter(f"{text!r} is no queue: expected NAME or NAME=WEIGHT, the weight a whole number from 1")
    return name, int(weight or 1)
