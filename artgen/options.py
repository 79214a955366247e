"""Options: one declaration of an option feeds the command line, TOML, Python, docs and recipes.

An option is one line in an :class:`Options` class: its type, its range, what it means and its unit::

    class Generate(Options):
        truncation: Annotated[float, Meta(ge=0, le=2, description="Distance from the mean latent.")] = 0.7

This module imports nothing of ours but :mod:`artgen.errors`.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal, Self, Union

import msgspec
from msgspec import Meta

from artgen.errors import OptionError

__all__ = ["Meta", "Option", "Options", "Seconds", "check", "declared", "nearest", "parse_text", "resolve", "toml_lines"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}

Seconds = Annotated[float, Meta(extra={"unit": "seconds"})]
"""A span of time; text may carry a unit: ``90``, ``90s``, ``1.5m``, ``2h``."""


@dataclass(frozen=True)
class Option:
    """What one line of an :class:`Options` class declares.

    ``kind`` is ``bool``, ``int``, ``float``, ``str`` or ``list`` (of ``item``); ``choices`` is filled for a closed set.
    ``file`` says that the value names a file of the user (``Meta(extra={"file": True})``): recipes then keep its hash.
    ``short`` is a one-letter flag (``Meta(extra={"short": "-o"})``).
    """

    name: str
    kind: type
    description: str
    default: Any  # any value an option may have; its type is ``kind``, None where ``optional``
    required: bool
    optional: bool
    choices: tuple[str, ...]
    ge: float | None
    gt: float | None
    le: float | None
    lt: float | None
    pattern: str | None
    unit: str
    owner: str
    file: bool = False
    short: str = ""
    item: type = str

    @property
    def flag(self) -> str:
        """The flag on the command line: ``class_`` becomes ``--class``."""
        return "--" + self.name.rstrip("_").replace("_", "-")

    @property
    def allowed(self) -> str:
        """The allowed values in words: ``0 to 2``, ``fp32, bf16 or fp16``, ``a whole number``."""
        if self.choices:
            return _listed(self.choices, "or")
        low = self.ge if self.ge is not None else self.gt
        high = self.le if self.le is not None else self.lt
        more = "more than " if self.gt is not None else ""
        less = "less than " if self.lt is not None else ""
        if low is not None and high is not None:
            if not more and not less:
                return f"{_number(low)} to {_number(high)}"
            return f"{more or 'at least '}{_number(low)} and {less or 'at most '}{_number(high)}"
        if low is not None:
            return f"{_number(low)} or more" if not more else f"more than {_number(low)}"
        if high is not None:
            return f"{_number(high)} or less" if not less else f"less than {_number(high)}"
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}
        return words[self.kind]

    @property
    def help(self) -> str:
        """Description with range, default and unit, as ``--help`` and the reference page show it."""
        parts = [] if self.kind in (bool, str, list) and not self.choices else [self.allowed]
        if self.unit:
            parts = [" ".join([*parts, self.unit])]
        if self.required:
            parts.append("required")
        elif self.default not in (None, "", (), []):
            shown = str(self.default).lower() if self.kind is bool else self.default
            parts.append(f"default: {shown}")
        return f"{self.description} [{'; '.join(parts)}]" if parts else self.description


@typing.dataclass_transform(frozen_default=True, kw_only_default=True)
class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every declaration of options: frozen, keyword-only, checked when built.

    Raises:
        OptionError: a value has the wrong type or is outside its range, in the standard sentence.
    """

    def __post_init__(self) -> None:
        for option in declared(type(self)):
            check(type(self), option, getattr(self, option.name))

    def asdict(self) -> dict[str, Any]:
        """Every option with its value, in the order of declaration; plain values only."""
        return {name: getattr(self, name) for name in self.__struct_fields__}

    def replace(self, **changes: object) -> Self:
        """A copy with ``changes``, checked like the first."""
        return type(self)(**{**self.asdict(), **changes})


_cache: dict[type, tuple[Option, ...]] = {}


def declared(cls: type[Options]) -> tuple[Option, ...]:
    """The options that ``cls`` declares, inherited ones first."""
    if cls not in _cache:
        hints = _hints(cls)
        _cache[cls] = tuple(_option(cls, field, hints[field.name]) for field in msgspec.structs.fields(cls))
    return _cache[cls]


def resolve(cls: type[Options], *layers: Mapping[str, Any], label: str = "") -> Options:
    """Build ``cls`` from layers of named values; a later layer wins, and ``None`` gives way to an earlier one.

    ``label`` says where the values come from, for the message about an unknown name.

    Raises:
        OptionError: an unknown name (the nearest known one is suggested) or a value outside its range.
    """
    known = {option.name: option for option in declared(cls)}
    values: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            key = _known_name(known, name, label)
            if value is not None:
                values[key] = value
    missing = [option.flag for option in known.values() if option.required and option.name not in values]
    if missing:
        raise OptionError(f"{_listed(missing, 'and')} must be given")
    return cls(**{name: _widen(known[name], value) for name, value in values.items()})


def refuse(options: Options, names: Iterable[str], owner: str) -> None:
    """Refuse the options ``names`` where they are not as they are by themselves: they belong to ``owner``, which is not chosen.

    Raises:
        OptionError: one of them was given.
    """
    for option in declared(type(options)):
        if option.name in names and getattr(options, option.name) != option.default:
            raise OptionError(f"{option.flag} is an option of {owner}; leave one of them out")


def parse_text(option: Option, text: str | list[str]) -> Any:
    """The value that ``text`` (as typed after a flag) stands for; its range is checked when the options are built.

    Raises:
        OptionError: the text is not of the option's kind.
    """
    if isinstance(text, list):
        single = replace(option, kind=option.item)
        if option.choices or option.item is int:  # no value of these has a comma in it: "fd,recall" is two
            text = [part.strip() for typed in text for part in typed.split(",")]
        return tuple(parse_text(single, part) for part in text)
    try:
        if option.kind is int:
            return int(text.replace("_", ""))
        if option.kind is float:
            return _span(text, option.unit) if option.unit in ("seconds", "minutes") else float(text)
    except ValueError:
        raise OptionError(_sentence(option, text)) from None
    if option.kind is bool:
        if text.lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise OptionError(_sentence(option, text))
        return text.lower() in ("true", "yes", "1")
    return text


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` for the known name closest to ``name``, or that alone begins with it, or nothing when none is close."""
    names: dict[str, str] = {}
    for each in sorted(known):
        # Of two that differ in case alone, such as Generate and generate, the one that begins as ``name`` does.
        if each.lower() not in names or each[:1].islower() == name[:1].islower():
            names[each.lower()] = each
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    if not close and name.strip("-"):
        begun = [each for each in names if each.startswith(name.lower())]
        close = begun if len(begun) == 1 else []
    return f"; did you mean {names[close[0]]}?" if close else ""


def toml_lines(values: Mapping[str, Any]) -> list[str]:
    """The values as lines of TOML, one each; a value that is not given becomes a comment."""
    return [f"# {name} = (not given)" if value is None else f"{name} = {_toml(value)}" for name, value in values.items()]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _known_name(known: Mapping[str, Option], name: str, label: str) -> str:
    for key in (name, name.replace("-", "_"), name.replace("-", "_") + "_"):
        if key in known:
            return key
    where = f" in {label}" if label else ""
    hint = nearest(name, known)
    allowed = ", ".join(option.name.rstrip("_") for option in known.values()) or "none"
    raise OptionError(f"no option {name!r}{where}{hint or f'; known: {allowed}'}")


@cache
def _hints(cls: type[Options]) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def _ranged(hint: Any) -> Any:
    """``Annotated[int | None, Meta(ge=1)]`` as msgspec takes it: it refuses a range on a union."""
    if typing.get_origin(hint) is not Annotated or typing.get_origin(hint.__origin__) not in (Union, types.UnionType):
        return hint
    inner = [arg for arg in typing.get_args(hint.__origin__) if arg is not type(None)]
    return Annotated[(inner[0], *hint.__metadata__)] if len(inner) == 1 else hint  # None itself is let through before


def check(cls: type[Options], option: Option, value: Any) -> None:
    """Raise the standard sentence when ``value`` is not one that ``option`` of ``cls`` may have.

    Raises:
        OptionError: it has the wrong type or is outside its range.
    """
    if value is None and option.optional:
        return
    hint = _ranged(_hints(cls)[option.name])
    try:
        msgspec.convert(msgspec.to_builtins(value), hint, strict=True)
    except (msgspec.ValidationError, TypeError, NotImplementedError):
        raise OptionError(_sentence(option, value)) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise OptionError(_sentence(option, value))


def _sentence(option: Option, value: Any) -> str:
    unit = f" {option.unit}" if option.unit and not option.choices else ""
    shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
    shown = int(shown) if isinstance(shown, float) and shown.is_integer() else shown
    hint = nearest(str(shown), option.choices)
    if isinstance(value, str) and option.kind is float and option.unit in ("seconds", "minutes"):
        unit += ", such as 90s, 20m or 2h"
    return f"{option.flag} takes {option.allowed}{unit}, not {shown if shown != '' else 'nothing'}{hint}"


def _option(cls: type[Options], field: Any, hint: Any) -> Option:
    meta, plain, optional = _unwrap(hint)
    choices: tuple[str, ...] = ()
    kind: Any
    inner = [arg for arg in typing.get_args(plain) if arg is not Ellipsis]
    if typing.get_origin(plain) is Literal:
        choices, kind = tuple(str(choice) for choice in typing.get_args(plain)), str
    else:
        origin = typing.get_origin(plain) or plain
        kind = list if origin in (list, tuple) else origin
    item = _unwrap(inner[0])[1] if kind is list and inner else str
    if typing.get_origin(item) is Literal:
        choices, item = tuple(str(choice) for choice in typing.get_args(item)), str
    if kind not in (bool, int, float, str, list):
        raise TypeError(f"{cls.__qualname__}.{field.name}: an option is bool, int, float, str, Literal or tuple, not {plain}")
    required = field.required
    default = None if required else field.default
    if not required and default is msgspec.NODEFAULT:
        default = field.default_factory()
    return Option(
        name=field.name, kind=kind, description=meta.get("description", ""), default=default,
        required=required, optional=optional, choices=choices,
        ge=meta.get("ge"), gt=meta.get("gt"), le=meta.get("le"), lt=meta.get("lt"), pattern=meta.get("pattern"),
        unit=meta.get("unit", ""), owner=cls.__qualname__, file=bool(meta.get("file")), short=meta.get("short", ""),
        item=item,
    )  # fmt: skip


def _unwrap(hint: Any) -> tuple[dict[str, Any], Any, bool]:
    """Collect what the ``Meta`` layers of a hint say, the plain type inside, and whether None is allowed."""
    meta: dict[str, Any] = {}
    optional = False
    while True:
        origin = typing.get_origin(hint)
        if origin is Annotated:
            for layer in hint.__metadata__:
                if isinstance(layer, Meta):
                    names = ("description", "ge", "gt", "le", "lt", "pattern")
                    found = {name: getattr(layer, name) for name in names if getattr(layer, name) is not None}
                    meta = {**found, **(layer.extra or {}), **meta}
            hint = hint.__origin__
        elif origin in (Union, types.UnionType):
            inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
            if len(inner) != 1:
                return meta, hint, optional
            hint, optional = inner[0], True
        else:
            return meta, hint, optional


def _widen(option: Option, value: Any) -> Any:
    """TOML and Python callers may write 2 for 2.0, a list for a tuple and a path for its text."""
    if option.kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if option.kind is float and isinstance(value, str) and option.unit in ("seconds", "minutes"):
        return parse_text(option, value)
    if option.kind is list and isinstance(value, list | tuple):
        return tuple(os.fspath(part) if isinstance(part, os.PathLike) else part for part in value)
    if option.kind is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def _span(text: str, unit: str) -> float:
    """A span of time in ``unit``; a suffix (``90s``, ``1.5m``, ``2h``) is converted, a bare number is taken as it is."""
    match = re.fullmatch(r"\s*([0-9.eE+-]+?)\s*([a-z]*)\s*", text)
    if not match or (match[2] and match[2] not in _UNITS):
        raise ValueError(text)
    value = float(match[1])
    return value * _UNITS[match[2]] / (60.0 if unit == "minutes" else 1.0) if match[2] else value


def _listed(words: Iterable[str], last: str) -> str:
    names = list(words)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"  # a whole bound is said exactly, however large
