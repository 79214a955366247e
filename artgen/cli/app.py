"""The Typer application for what was typed: one command in full, the rest by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import typer

from artgen import registry
from artgen.backend import VERBS, Backend
from artgen.cli import common, own
from artgen.cli.flags import Positional, command, flag_names
from artgen.cli.scan import Scan
from artgen.errors import ArtgenError
from artgen.options import Options

VERB_HELP = {
    "prepare": "Turn files into a dataset.",
    "train": "Train a model on a dataset or a folder.",
    "generate": "Make new works with a model.",
    "modify": "Change your own works with a model.",
    "evaluate": "Measure a model against real data.",
}
_EXAMPLES = {
    "prepare": ["artgen {modality} prepare {folder}/ --output data/{folder}"],
    "train": [
        "artgen {modality} train data/{folder} --output runs/{folder} --minutes 20",
        "artgen {modality} train --resume --output runs/{folder}",
    ],
    "generate": [
        "artgen {modality} generate --seed 7",
        "artgen {modality} generate --model runs/{folder} --seeds 0,1,4-6 --output out/",
    ],
    "modify": ["artgen {modality} modify {work} --model runs/{folder}"],
    "evaluate": ["artgen {modality} evaluate runs/{folder} data/{folder} --output sheets/"],
}
_MINE = {"image": ("photos", "mine.png --compare"), "audio": ("songs", "mine.wav"), "video": ("clips", "mine.mp4")}
"""A folder of the user's own works in the examples of each modality, and one work to modify."""

_TEXT_EXAMPLES = {
    "prepare": ["artgen text prepare books/ --output data/books"],
    "train": ["artgen text train data/books --output runs/books --minutes 5", "artgen text train --resume --output runs/books"],
    "generate": [
        'artgen text generate --prompt "It was"',
        "artgen text generate --model runs/books --prompt-file begin.txt -n 3 --output out/",
    ],
    "modify": [
        "artgen text modify mine.txt --model runs/books --rewrite --strength 0.2",
        "artgen text modify --between a.txt b.txt --model runs/books",
    ],
    "evaluate": ["artgen text evaluate runs/books data/books --output sheets/"],
}
_OWN: dict[str, type[Options]] = {
    "prepare": common.Prepare,
    "train": common.Train,
    "generate": common.Generate,
    "modify": common.Modify,
    "evaluate": common.Evaluate,
}
_SOURCES = Positional("source", "SOURCE", "Folders, archives (zip, tar), files or globs.", many=True)
_POSITIONALS = {
    "prepare": [_SOURCES],
    "train": [Positional("source", "SOURCE_OR_DATASET", "A prepared dataset, or what prepare takes.", many=True)],
    "generate": [],
    "modify": [Positional("work", "FILE", "Your own works.", many=True)],
    "evaluate": [
        Positional("model", "MODEL", "Folder of a model or run, or a starter's name."),
        Positional("dataset", "DATASET", "A prepared dataset."),
    ],
}
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def build(scan: Scan) -> typer.Typer:
    """The application whose command named in ``scan`` has its full flags.

    Raises:
        UnusableBackendError: the backend that was asked for cannot be used.
        UnknownBackendError: there is none of that name.
    """
    # Typer's rendering of help loads rich; the flags for completion and for the help of a group load pydantic on the way to
    # every command below: each takes as long as all the rest of a start, so each is there only when it can be used.
    app = typer.Typer(
        name="artgen",
        help="Make art with generative models: artgen MODALITY VERB.",
        no_args_is_help=True,
        add_completion=scan.completion,
        add_help_option=scan.helps[0],
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_SETTINGS,
        epilog=_epilog(["artgen image generate --seed 7 --output first.png", "artgen image train photos/ --minutes 20"]),
    )
    app.callback()(_root)
    for modality in registry.modalities():
        app.add_typer(_modality(modality, scan), name=modality)
    _add_own_commands(app, scan)
    return app


def flags_of(scan: Scan) -> list[str]:
    """The flags of the command that was typed, to suggest one for a mistyped flag."""
    if scan.verb in VERBS:
        try:
            cls = registry.get(scan.command, scan.backend)
        except ArtgenError:
            return flag_names(_OWN[scan.verb], [])
        return flag_names(_OWN[scan.verb], _groups(cls, scan.verb))
    return [*flag_names(own.flags_of(scan.command, scan.verb), []), "--help", "--version"]


def _version(asked: bool) -> None:
    if asked:
        import artgen

        print(f"artgen {artgen.__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and stop.", is_eager=True, callback=_version),
    json: bool = typer.Option(False, "--json", help="Print results and errors as JSON."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    pass  # the flags act through the scan and the callback


def _modality(modality: str, scan: Scan) -> typer.Typer:
    found = registry.backends(modality)
    chosen = scan.command == modality
    help_ = f"Backends: {', '.join(entry.name for entry in found)}." if found else _none_yet(modality)
    cls: type[Backend] | None = None
    fault = ""
    if chosen and found:
        try:
            cls = registry.get(modality, scan.backend)
        except ArtgenError as error:  # help still works; the verb says it again as an error
            fault = f"\n\n{error}."
    group = typer.Typer(
        add_help_option=not chosen or scan.helps[1],
        help=help_ + fault,
        no_args_is_help=True,
        rich_markup_mode=None,
        context_settings=_SETTINGS,
    )
    for verb in VERBS if chosen else ():
        if cls is not None and verb in cls.verbs() and verb == scan.verb:
            _add_verb(group, verb, cls, scan)
        else:
            unknown_flags = {**_SETTINGS, "ignore_unknown_options": True, "allow_extra_args": True}
            offered = cls is None or verb in cls.verbs()
            refuse = _refusing(modality, verb, scan.backend)
            text = VERB_HELP[verb] + fault if found else _none_yet(modality)
            group.command(verb, help=text, hidden=not offered, context_settings=unknown_flags)(refuse)
    return group


def _add_verb(group: typer.Typer, verb: str, cls: type[Backend], scan: Scan) -> None:
    modality = scan.command

    def action(flags: Any, options: dict[str, Any], arguments: Any) -> int | None:
        from artgen.cli import verbs

        return getattr(verbs, verb)(modality, _with_json(flags, scan), options, arguments)  # type: ignore[no-any-return]  # one of five functions

    function = command(_POSITIONALS[verb], _OWN[verb], _groups(cls, verb), action, modality=modality)
    note = " Options of prepare are for a source that is not prepared yet." if verb == "train" else ""
    help_ = f"{VERB_HELP[verb]}{note}\n\nBackend {cls.modality}.{cls.name}: {cls.summary}"
    folder, work = _MINE.get(modality, ("works", "mine"))
    told = (_TEXT_EXAMPLES if modality == "text" else _EXAMPLES)[verb]
    examples = [example.format(modality=modality, folder=folder, work=work) for example in told]
    group.command(verb, help=help_, epilog=_epilog(examples), context_settings=_SETTINGS)(function)


def _groups(cls: type[Backend], verb: str) -> list[type[Options]]:
    """``train`` takes the options of ``prepare`` too, for a source that is not prepared yet."""
    groups: list[type[Options]] = [getattr(cls, verb.capitalize())]
    return [*groups, cls.Prepare] if verb == "train" and "prepare" in cls.verbs() else groups


def _add_own_commands(app: typer.Typer, scan: Scan) -> None:
    for each in own.OWN_COMMANDS:
        _add(app, each, scan, full=scan.command == each.name)
    if scan.command == own.PLUGINS.name:
        _add(app, own.PLUGINS, scan, full=True)
    _add_group(app, "plugin", "List, write, check, install and remove plugins.", scan)
    group = _add_group(app, "history", own.HISTORY.help, scan, epilog=_epilog(own.HISTORY.examples))
    if scan.command == "history":
        listing = command((), own.HISTORY.flags, [], _action(own.HISTORY, scan), alone=True)
        group.callback(invoke_without_command=True, help=own.HISTORY.help, epilog=_epilog(own.HISTORY.examples))(listing)


def _add_group(app: typer.Typer, name: str, help_: str, scan: Scan, epilog: str | None = None) -> typer.Typer:
    group = typer.Typer(
        add_help_option=scan.command != name or scan.helps[1],
        help=help_,
        epilog=epilog,
        no_args_is_help=name != "history",
        rich_markup_mode=None,
        context_settings=_SETTINGS,
    )
    for each in own.GROUPS[name] if scan.command == name else ():
        _add(group, each, scan, full=True)
    app.add_typer(group, name=name)
    return group


def _add(app: typer.Typer, each: own.Command, scan: Scan, *, full: bool) -> None:
    """One command; only the one that was typed needs its flags, the rest are there by name."""
    function = command(each.positionals, each.flags, [], _action(each, scan)) if full else _nothing
    app.command(each.name, help=each.help, epilog=_epilog(each.examples), context_settings=_SETTINGS)(function)


def _nothing() -> None:
    """Stands for a command that was not typed."""


def _action(each: own.Command, scan: Scan) -> Callable[[Any, dict[str, Any], Any], int | None]:
    def action(flags: Any, options: dict[str, Any], arguments: Any) -> int | None:
        from importlib import import_module

        module, _, name = each.action.partition(":")
        function = getattr(import_module(f"artgen.cli.{module}"), name)
        given = (_with_json(flags, scan), *((options,) if module == "verbs" else ()), arguments)
        return function(*given)  # type: ignore[no-any-return]  # every action returns an exit code or None

    return action


def _with_json(flags: Options, scan: Scan) -> Options:
    return flags.replace(json=True) if scan.json else flags  # --json may stand before the command as well


def _refusing(modality: str, verb: str, backend: str | None = None) -> Callable[[], None]:
    def refuse() -> None:
        from artgen.api import offering

        offering(modality, backend, verb)

    return refuse


def _none_yet(modality: str) -> str:
    return (
        f"No backend for {modality} is installed yet. A plugin package adds one: install it with artgen plugin install "
        "and artgen backends lists it."
    )


def _epilog(examples: Sequence[str]) -> str:
    # The sign keeps Typer's formatter from joining the lines.
    return "\b\n" + "\n".join(["Examples:", *(f"  {example}" for example in examples)])
