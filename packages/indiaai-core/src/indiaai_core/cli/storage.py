"""`indiaai storage`: its commands, their arguments and help; what they do is in `objects` and `copying`."""

from __future__ import annotations

from typing import Annotated

import typer

from indiaai_core.cli.location import parse_location, parse_place

__all__ = ["build_storage_app"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="All that is below it.")]
Rehearse = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")]

Spare = Annotated[bool, typer.Option("--no-clobber", "-n", help="Leave what is there already.")]
Update = Annotated[bool, typer.Option("--update", "-u", help="Leave what is there and is not older.")]
Delete = Annotated[bool, typer.Option("--delete", help="With -r -u: delete, after asking, what the source does not have.")]
Confirmed = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

HELP = """Look into a store, and copy, delete and link what is in it.

A place in the store is KEY, or NAME:KEY in a named instance. In cp, where files are meant, too, the main store's is :KEY.
"""


def build_storage_app() -> typer.Typer:
    """Return the command line for who operates a store."""
    app = typer.Typer(help=HELP, no_args_is_help=True)
    app.command("ls")(_ls)
    app.command("cp")(_cp)
    app.command("rm")(_rm)
    app.command("url")(_url)
    return app


def _ls(
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", help="What the keys begin with; all without it.")] = "",
    *,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="The most to list.")] = None,
    json: Json = False,
) -> None:
    """List objects: size, time (UTC) and key, in the order of their keys."""
    from indiaai_core.cli.objects import list_objects

    raise typer.Exit(list_objects(parse_location(prefix), limit=limit, as_json=json))


def _cp(  # noqa: PLR0913 - one for each option
    source: Annotated[str, typer.Argument(help="A file, a folder, [NAME]:KEY in a store, or - for standard input.")],
    target: Annotated[str, typer.Argument(help="The same, or - for standard output; with / at its end: into it.")],
    *,
    recursive: Recursive = False,
    no_clobber: Spare = False,
    update: Update = False,
    delete: Delete = False,
    yes: Confirmed = False,
    content_type: Annotated[
        str | None, typer.Option("--content-type", help="The type to store; guessed from the name without it.")
    ] = None,
    dry_run: Rehearse = False,
    json: Json = False,
) -> None:
    """Copy between files and a store, or from one store to another; each object is there whole or not at all."""
    from indiaai_core.cli.copying import Copying
    from indiaai_core.cli.manner import Manner

    manner = Manner(
        content_type=content_type,
        is_recursive=recursive,
        spares=no_clobber,
        updates=update,
        deletes=delete,
        is_confirmed=yes,
        is_rehearsal=dry_run,
        as_json=json,
    )
    raise typer.Exit(Copying(manner).copy(parse_place(source), parse_place(target)))


def _rm(
    places: Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys, or what is above them with --recursive.")],
    *,
    recursive: Recursive = False,
    yes: Confirmed = False,
    dry_run: Rehearse = False,
    json: Json = False,
) -> None:
    """Delete objects, for good, after asking; exit 1 where one is not there."""
    from indiaai_core.cli.objects import remove

    found = [parse_location(place) for place in places]
    raise typer.Exit(remove(found, is_recursive=recursive, is_confirmed=yes, is_rehearsal=dry_run, as_json=json))


def _url(
    key: Annotated[str, typer.Argument(help="The object's key.")],
    *,
    expires_in: Annotated[int, typer.Option("--expires-in", min=1, max=604_800, help="Seconds, up to 7 days.")] = 3600,
    upload: Annotated[bool, typer.Option("--upload", help="A link to PUT the object to.")] = False,
    content_type: Annotated[
        str, typer.Option("--content-type", help="With --upload: the Content-Type that the PUT must have.")
    ] = "application/octet-stream",
    json: Json = False,
) -> None:
    """Print a link that anyone may GET an object by until it expires."""
    from indiaai_core.cli.objects import give_url

    upload_type = content_type if upload else None
    raise typer.Exit(give_url(parse_location(key), expires_in=expires_in, upload_type=upload_type, as_json=json))
