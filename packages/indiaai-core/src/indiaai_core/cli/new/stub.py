"""Methods that are still to be written, as an interface wants them; imported by what begins a backend."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from indiaai_core.cli.new.imports import LINE_CHARACTERS, Imports
from indiaai_core.errors import ConfigurationError
from indiaai_core.layers import Service

__all__ = ["abstract_names", "write_stubs"]

_Definition = ast.FunctionDef | ast.AsyncFunctionDef
_KEPT_DECORATORS = ("property", "classmethod", "staticmethod")


def abstract_names(interface: type[Any]) -> list[str]:
    """Return what a backend has to write, in the interface's order: what is abstract, and `check`, if nobody wrote one."""
    wanted: set[str] = set(getattr(interface, "__abstractmethods__", ()))
    if getattr(interface, "check", None) is Service.check:
        wanted.add("check")
    order = dict.fromkeys(name for base in inspect.getmro(interface) for name in vars(base))
    return [name for name in order if name in wanted]


def write_stubs(interface: type[Any], *, service: str, imports: Imports) -> str:
    """Return the methods that a backend has to write: each raises NotImplementedError and says what is to be done.

    Args:
        interface: The layer's interface.
        service: The name of the backend's class.
        imports: Where what the signatures name is added.

    Raises:
        ConfigurationError: The interface has no source to read.
    """
    return "\n\n".join(_stub(interface, name, service=service, imports=imports) for name in abstract_names(interface))


def _stub(interface: type[Any], name: str, *, service: str, imports: Imports) -> str:
    owner = next(base for base in inspect.getmro(interface) if name in vars(base))
    function = _function(vars(owner)[name])
    source = _source(function)
    definition = ast.parse(source).body[0]
    if not isinstance(definition, _Definition):
        raise ConfigurationError(f"{owner.__name__}.{name} is not defined by `def`: its stub cannot be written.")
    _import_names(definition, owner.__module__, imports)
    decorators = [f"@{it.id}" for it in definition.decorator_list if isinstance(it, ast.Name) and it.id in _KEPT_DECORATORS]
    # An abstract generator, too, is called without `await`: that is what its type says.
    is_awaited = isinstance(definition, ast.AsyncFunctionDef) and not inspect.isasyncgenfunction(function)
    head = _head(definition, source, keyword="async def" if is_awaited else "def")
    promised = f"{interface.__name__}.{name}"
    body = [
        *_docstring(inspect.getdoc(function), promised),
        *_raising(f"{service}.{name} is to be written: see {promised}"),
    ]
    return textwrap.indent("\n".join([*decorators, head, *body]), "    ")


def _function(member: Any) -> Any:
    return getattr(member, "fget", None) or getattr(member, "__func__", member)


def _source(value: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(value))
    except (OSError, TypeError) as error:
        raise ConfigurationError(
            f"There is no source of {value!r}, from which its stub would be written: install its package with its modules."
        ) from error


def _head(definition: _Definition, source: str, *, keyword: str) -> str:
    parameters = list(_parameters(definition.args, source))
    returned = f" -> {_code(definition.returns, source)}" if definition.returns else ""
    start, end = f"{keyword} {definition.name}(", f"){returned}:"
    indented = LINE_CHARACTERS - 4  # in a class
    if len(line := start + ", ".join(parameters) + end) <= indented:
        return line
    if len(line := "    " + ", ".join(parameters)) <= indented:
        return "\n".join([start, line, end])
    return "\n".join([start, *(f"    {parameter}," for parameter in parameters), end])


def _parameters(arguments: ast.arguments, source: str) -> Iterator[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [*[None] * (len(positional) - len(arguments.defaults)), *arguments.defaults]
    for number, (argument, default) in enumerate(zip(positional, defaults, strict=True), 1):
        yield _parameter(argument, default, source)
        if number == len(arguments.posonlyargs):
            yield "/"
    if arguments.vararg:
        yield f"*{_parameter(arguments.vararg, None, source)}"
    elif arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, default, source)
    if arguments.kwarg:
        yield f"**{_parameter(arguments.kwarg, None, source)}"


def _parameter(argument: ast.arg, default: ast.expr | None, source: str) -> str:
    if argument.annotation is None:
        return argument.arg if default is None else f"{argument.arg}={_code(default, source)}"
    typed = f"{argument.arg}: {_code(argument.annotation, source)}"
    return typed if default is None else f"{typed} = {_code(default, source)}"


def _code(node: ast.expr, source: str) -> str:
    return " ".join((ast.get_source_segment(source, node) or ast.unparse(node)).split())


def _docstring(text: str | None, promised: str) -> list[str]:
    first = (text or "").partition("\n")[0]
    if not first or '"' in first or "\\" in first:
        first = "To be written."
    return [f'    """{first}', "", f"    What must hold is said at `{promised}`.", '    """']


def _raising(message: str) -> list[str]:
    line = f'    raise NotImplementedError("{message}")'
    if len(line) <= LINE_CHARACTERS - 4:
        return [line]
    return ["    raise NotImplementedError(", f'        "{message}"', "    )"]


def _import_names(definition: _Definition, module: str, imports: Imports) -> None:
    """Import what a signature names from where its own module has it."""
    known = dict(_imported(ast.parse(_source(sys.modules[module])), sys.modules[module].__package__ or ""))
    signature = [definition.args, *([definition.returns] if definition.returns else [])]
    for node in (node for part in signature for node in ast.walk(part)):
        if not isinstance(node, ast.Name):
            continue
        if node.id in known:
            source, name = known[node.id]
            imports.add(source, name) if not name or " as " in name else imports.add_door(source, name)
        elif node.id in vars(sys.modules[module]):
            imports.add_door(module, node.id)
        elif not hasattr(builtins, node.id):
            raise ConfigurationError(f"{module}: nothing tells what {node.id} is, in the signature of {definition.name}.")


def _imported(tree: ast.Module, package: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Give each name that a module imports, for types only or not, with the module and the name there."""
    statements = [inner for outer in tree.body for inner in (outer.body if isinstance(outer, ast.If) else [outer])]
    for statement in statements:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                name = alias.asname or alias.name.partition(".")[0]
                yield name, (f"{alias.name} as {alias.asname}" if alias.asname else alias.name, "")
        elif isinstance(statement, ast.ImportFrom):
            module = importlib.util.resolve_name("." * statement.level + (statement.module or ""), package)
            for alias in statement.names:
                name = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
                yield alias.asname or alias.name, (module, name)
