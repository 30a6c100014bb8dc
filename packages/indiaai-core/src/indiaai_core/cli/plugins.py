"""`indiaai plugins`: the layers, their backends, and what is wrong with any of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from indiaai_core.cli.output import print_json, print_notes, print_table
from indiaai_core.discovery import catalogue, find_backend, find_layer, find_layers, load_backend
from indiaai_core.environment import Environment
from indiaai_core.errors import ConfigurationError
from indiaai_core.layers import Layer
from indiaai_core.scan import Registration

__all__ = ["show_plugins"]


@dataclass(frozen=True, slots=True)
class _Row:
    """One backend as the table shows it; None for capabilities that were not looked for."""

    layer: str
    backend: str
    selected: bool
    distribution: str
    version: str
    capabilities: list[str] | None
    error: str | None


def show_plugins(*, as_json: bool, is_loading: bool) -> None:
    """Print every backend of every layer.

    Args:
        as_json: Whether a program reads it.
        is_loading: Whether to load each, which takes a second where a library is large: so that what it can do, and a
            broken one, shows.
    """
    environment = Environment.read()
    rows: list[_Row] = []
    faults: list[str] = [str(problem) for problem in catalogue().problems]
    for name in find_layers():
        try:
            rows += _rows(find_layer(name), environment, is_loading=is_loading)
        except ConfigurationError as error:
            faults.append(str(error))
    if as_json:
        print_json({"backends": [asdict(row) for row in rows], "problems": faults})
        return
    print_table(
        ["layer", "backend", "", "distribution", "version", "capabilities" if is_loading else ""],
        [
            [row.layer, row.backend, "selected" if row.selected else "", row.distribution, row.version, _last_cell(row)]
            for row in rows
        ],
    )
    print_notes(faults)


def _rows(layer: Layer, environment: Environment, *, is_loading: bool) -> list[_Row]:
    selector = (environment.get(layer.variable) or layer.default_backend).strip().lower()
    found = catalogue().in_group(layer.group)
    rows = [_row(layer, registration, selector, is_loading=is_loading) for registration in found]
    if not any(row.selected for row in rows):
        try:
            find_backend(layer, selector, variable=layer.variable)
        except ConfigurationError as error:
            # A layer that nobody chose a backend for, and whose default is not there, is one that nobody uses.
            is_chosen = bool(environment.get(layer.variable))
            rows.append(_Row(layer.name, selector, is_chosen, "", "", [], str(error)))
    return rows


def _row(layer: Layer, registration: Registration, selector: str, *, is_loading: bool) -> _Row:
    pinned = f"{registration.name}@{registration.distribution}"
    capabilities, fault = _capabilities(layer, pinned) if is_loading else (None, None)
    is_selected = selector in (registration.name, pinned)
    return _Row(
        layer.name, registration.name, is_selected, registration.distribution, registration.version, capabilities, fault
    )


def _capabilities(layer: Layer, selector: str) -> tuple[list[str] | None, str | None]:
    try:
        backend: Any = load_backend(layer, selector, variable=layer.variable)
    except ConfigurationError as error:
        return [], str(error)
    return sorted(getattr(backend, "capabilities", ())), None


def _last_cell(row: _Row) -> str:
    if row.error and row.selected:
        return f"ERROR: {row.error}"
    if row.error and not row.distribution:
        return "not installed and not selected: nothing to mend unless you use this layer"
    return f"not selected, and would not load: {row.error}" if row.error else ", ".join(row.capabilities or ())
