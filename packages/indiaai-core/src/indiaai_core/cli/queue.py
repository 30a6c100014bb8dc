"""`indiaai queue`: its commands, their arguments and help; what they do is in `operation`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["build_queue_app"]

Name = Annotated[
    str | None,
    typer.Option("--queue", "-q", metavar="NAME", help="A named instance, such as archive; the selected queue without it."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of tasks.")]


def build_queue_app() -> typer.Typer:
    """Return the command line for who operates a queue."""
    app = typer.Typer(help="Look into a queue, and mend what went wrong in it.", no_args_is_help=True)
    app.command("counts")(_counts)
    app.command("show")(_show)
    app.command("dead")(_dead)
    app.command("requeue")(_requeue)
    app.command("cancel")(_cancel)
    app.command("purge")(_purge)
    return app


def _counts(*, queue: Name = None, json: Json = False) -> None:
    """Show how many tasks wait, are delayed, are being worked, and are dead letters."""
    from indiaai_core.cli.operation import Operator

    raise typer.Exit(Operator(queue, as_json=json).counts())


def _show(
    task_id: Annotated[str, typer.Argument(metavar="ID", help="The task's id.")], *, queue: Name = None, json: Json = False
) -> None:
    """Show what the queue knows about a task; exit 1 where there is none."""
    from indiaai_core.cli.operation import Operator

    raise typer.Exit(Operator(queue, as_json=json).show(task_id))


def _dead(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The most to show.")] = 20,
    queue: Name = None,
    json: Json = False,
) -> None:
    """List dead letters, the latest first."""
    from indiaai_core.cli.operation import Operator

    raise typer.Exit(Operator(queue, as_json=json).dead(limit))


def _requeue(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Ids of failed or cancelled tasks.")] = None,
    *,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="Requeue every dead letter.")] = False,
    queue: Name = None,
    json: Json = False,
) -> None:
    """Put failed or cancelled tasks back into the queue, with all their attempts; exit 1 where one could not be."""
    from indiaai_core.cli.operation import Operator

    if bool(ids) == all_dead:
        raise typer.BadParameter("give the ids of tasks, or --all-dead")
    operator = Operator(queue, as_json=json)
    raise typer.Exit(operator.requeue_all_dead() if all_dead else operator.requeue(ids or []))


def _cancel(ids: Ids, *, queue: Name = None, json: Json = False) -> None:
    """Stop tasks from being worked; exit 1 where one had come to an end or is not there."""
    from indiaai_core.cli.operation import Operator

    raise typer.Exit(Operator(queue, as_json=json).cancel(ids))


def _purge(
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    queue: Name = None,
    json: Json = False,
) -> None:
    """Forget every task that waits or is a dead letter, for good; those being worked go on."""
    from indiaai_core.cli.operation import Operator

    raise typer.Exit(Operator(queue, as_json=json).purge(is_confirmed=yes))
