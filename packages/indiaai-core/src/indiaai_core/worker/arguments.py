"""What a handler is called with, read from its signature once, when it is registered; imported by the handlers."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from indiaai_core.queue import Task
from indiaai_core.worker.context import TaskContext

__all__ = ["Arguments", "InvalidArgument", "underlying"]

Maker = Callable[[Task, TaskContext], Any]

_AS_IT_IS = (inspect.Parameter.empty, Any, object, dict, Mapping, typing.Mapping, typing.Dict)  # noqa: UP006 - users' spelling
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class InvalidArgument(Exception):
    """A task's data is not what its handler's annotation asks for; another attempt would find the same."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """Makes a handler's positional arguments from a delivery.

    Attributes:
        makers: For each parameter, what makes it.
    """

    makers: tuple[Maker, ...]

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Arguments:
        """Read a function's signature.

        The parameter annotated `TaskContext`, or named `context` and not annotated, gets the context; the first other one
        the task: as `Task`, as its data (`dict`, `Mapping` or no annotation), or its data validated by pydantic as
        whatever else the annotation says.

        Raises:
            TypeError: The function needs more than that, or an annotation cannot be resolved.
        """
        annotations = _annotations(function)
        makers: list[Maker] = []
        wants_task = True
        for parameter in inspect.signature(function).parameters.values():
            annotation = annotations.get(parameter.name, parameter.empty)
            if _is_context(parameter, annotation) and parameter.kind in _POSITIONAL:
                makers.append(_the_context)
            elif wants_task and parameter.kind in _POSITIONAL:
                wants_task = False
                makers.append(_maker(annotation, function))
            elif parameter.default is parameter.empty and parameter.kind not in _VARIADIC:
                raise TypeError(
                    f"The handler {_name(function)} has a parameter {parameter.name!r} that the worker cannot fill: "
                    f"a handler takes the task (or its data) and, after that, a TaskContext. Give it a default."
                )
            else:
                break
        return cls(tuple(makers))

    def make(self, task: Task, context: TaskContext) -> Sequence[Any]:
        """Return the arguments for a delivery.

        Raises:
            InvalidArgument: The data does not validate; the message names each field.
        """
        if len(self.makers) == 1:  # as most are; to build a list costs more than all else here
            return (self.makers[0](task, context),)
        return [maker(task, context) for maker in self.makers]


def underlying(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that a callable comes down to: without partials and wrappers, an object's `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    method: Callable[..., Any] = function if inspect.isroutine(function) else type(function).__call__
    unwrapped: Callable[..., Any] = inspect.unwrap(method)
    return unwrapped


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _the_context(_task: Task, context: TaskContext) -> TaskContext:
    return context


def _is_context(parameter: inspect.Parameter, annotation: object) -> bool:
    return annotation is TaskContext or (annotation is parameter.empty and parameter.name == "context")


def _maker(annotation: Any, function: Callable[..., Any]) -> Maker:
    if annotation is Task:
        return lambda task, _context: task
    is_plain_mapping = typing.get_origin(annotation) in (dict, Mapping) and typing.get_args(annotation) == (str, Any)
    if annotation in _AS_IT_IS or is_plain_mapping:
        return lambda task, _context: task.data
    return _validator(annotation, function)


def _validator(annotation: Any, function: Callable[..., Any]) -> Maker:
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError

    try:
        adapter = TypeAdapter(annotation)
    except PydanticUserError as error:
        raise TypeError(
            f"The handler {_name(function)} asks for {annotation!r}, which pydantic cannot validate. "
            f"Annotate the parameter with Task, dict or a pydantic model."
        ) from error

    def validate(task: Task, _context: TaskContext) -> Any:
        try:
            return adapter.validate_python(task.data)
        except ValidationError as error:
            raise InvalidArgument(_field_errors(error, annotation)) from error

    return validate


def _field_errors(error: Any, annotation: Any) -> str:
    # Without the input: what users send may be personal, and a task's status is shown.
    fields = [
        f"{'.'.join(str(part) for part in found['loc']) or 'the data'}: {found['msg']}"
        for found in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    return f"The task's data is not a {getattr(annotation, '__name__', annotation)}: {'; '.join(fields)}"


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(underlying(function))
    except NameError as error:
        raise TypeError(
            f"An annotation of the handler {_name(function)} cannot be resolved: {error}. "
            f"Import what it names at the module's top, outside of `if TYPE_CHECKING:`."
        ) from error


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
