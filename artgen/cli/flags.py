"""Real flags from declarations: a Typer command whose signature is built from :class:`artgen.options.Options` classes.

Values arrive as text and go through :func:`artgen.options.parse_text`, so that the sentence about a wrong one is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any

import typer

from artgen.cli import completion
from artgen.errors import UnusableBackendError
from artgen.options import Option, Options, check, declared, parse_text

Action = Callable[[Any, dict[str, Any], Mapping[str, Any]], int | None]
"""What a command does with artgen's own flags (an instance of their class), the backend's, and the arguments."""

_METAVARS = {int: "INTEGER", float: "NUMBER", str: "TEXT", bool: "", list: "TEXT"}


@dataclass(frozen=True)
class Positional:
    """An argument without a flag; ``many`` takes one or more."""

    name: str
    metavar: str
    help: str
    many: bool = False


def command(
    positionals: Sequence[Positional],
    own: type[Options],
    groups: Sequence[type[Options]],
    action: Action,
    *,
    alone: bool = False,
    modality: str = "",
) -> Callable[..., int | None]:
    """A function that Typer turns into a command with the flags of ``own`` (artgen's) and ``groups`` (a backend's).

    ``alone`` is for a command that has commands of its own: it acts only where none of them was typed; ``modality`` says whose
    backends and models a shell completes.

    Raises:
        UnusableBackendError: a backend declares a flag that is one of artgen's own.
    """
    ours = [(own, option) for option in _own_first(own)]
    theirs = _merged(own, groups)

    def run(**typed: Any) -> int | None:
        context = typed.pop("_context") if alone else None
        if context is not None and context.invoked_subcommand is not None:
            return None
        arguments = {place.name: _argument(typed[place.name], place.many) for place in positionals}
        return action(own(**_parsed(ours, typed)), _parsed(theirs, typed), arguments)

    parameters = [Parameter("_context", Parameter.KEYWORD_ONLY, annotation=typer.Context)] if alone else []
    parameters += [_positional(place, modality) for place in positionals]
    # The choice of a backend's flags comes first in help: it is what a user looks for.
    parameters += [_flag(option, modality, negatable=True) for _, option in theirs]
    parameters += [_flag(option, modality, negatable=False) for _, option in ours]
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # inspect reads it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def flag_names(own: type[Options], groups: Sequence[type[Options]]) -> list[str]:
    """Every flag of a command, for suggestions."""
    return [option.flag for option in (*declared(own), *(option for group in groups for option in declared(group)))]


def _own_first(own: type[Options]) -> list[Option]:
    """What the command alone has comes before what it inherits: it is what a reader of its help looks for."""
    place = {name: depth for depth, cls in reversed(list(enumerate(own.__mro__))) for name in vars(cls).get("__annotations__", {})}
    return sorted(declared(own), key=lambda option: place[option.name])


def _merged(own: type[Options], groups: Sequence[type[Options]]) -> list[tuple[type[Options], Option]]:
    taken = {option.flag for option in declared(own)}
    merged: dict[str, tuple[type[Options], Option]] = {}
    for group in groups:
        for option in declared(group):
            if option.flag in taken:
                raise UnusableBackendError(f"{option.owner} declares {option.flag}, which is one of artgen's own flags; rename it")
            merged.setdefault(option.name, (group, option))
    return list(merged.values())


def _positional(place: Positional, modality: str) -> Parameter:
    complete = completion.of_argument(place.metavar, modality)
    info = typer.Argument(None, metavar=place.metavar, help=place.help, show_default=False, autocompletion=complete)
    kind: Any = list[str] | None if place.many else str | None
    return Parameter(place.name, Parameter.KEYWORD_ONLY, default=info, annotation=kind)


def _flag(option: Option, modality: str, *, negatable: bool) -> Parameter:
    names = [name for name in (option.short,) if name]
    kind: Any = str | None
    if option.kind is bool:
        names.append(f"{option.flag}/--no-{option.flag[2:]}" if negatable else option.flag)
        kind = bool | None
    else:
        names.append(option.flag)
        kind = list[str] | None if option.kind is list else kind
    info = typer.Option(
        None,
        *names,
        help=option.help if negatable or option.kind is not bool else option.description,
        show_default=False,
        metavar=_metavar(option),
        autocompletion=completion.of_option(option, modality),
    )
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=info, annotation=kind)


def _metavar(option: Option) -> str | None:
    if option.kind is bool:
        return None
    if option.choices:
        return "|".join(option.choices)
    return "FILE" if option.file else _METAVARS[option.item if option.kind is list else option.kind]


def _argument(value: Any, many: bool) -> Any:
    return list(value or ()) if many else value


def _parsed(options: Iterable[tuple[type[Options], Option]], typed: Mapping[str, Any]) -> dict[str, Any]:
    """The values that were typed, by name; a flag that was not is left out.

    They are checked here already, since that needs none of the heavier modules that a verb imports.
    """
    values = {}
    for cls, option in options:
        value = typed[option.name]
        if value is None or (option.kind is list and not value):
            continue
        values[option.name] = value if isinstance(value, bool) else parse_text(option, value)
        check(cls, option, values[option.name])
    return values
