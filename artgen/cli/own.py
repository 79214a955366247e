"""The commands that are artgen's own, as tables: what each is for, its arguments and flags, an example, the function behind it."""

from __future__ import annotations

from dataclasses import dataclass

from artgen.cli import common
from artgen.cli.flags import Positional
from artgen.options import Options


@dataclass(frozen=True)
class Command:
    """One command: ``action`` is ``module:function`` inside :mod:`artgen.cli`."""

    name: str
    help: str
    positionals: tuple[Positional, ...]
    flags: type[Options]
    examples: tuple[str, ...]
    action: str


_PATH = Positional("path", "PATH", "A work, a model, a dataset, a run or a starter's name.")
_WORK = Positional("path", "FILE", "A work that carries its recipe, or the recipe's .json.")
_PLUGIN = Positional("name", "NAME", "Package or backend: artgen-deepdream, deepdream or image.deepdream.")
_PACKAGES = Positional("name", "NAME", "Package by name, folder, wheel or address.", many=True)
_NUMBER = Positional("number", "NUMBER", "A work, by its number in artgen history.")

OWN_COMMANDS = (
    Command(
        "backends", "List the installed backends.", (), common.Backends,
        ("artgen backends --modality image",), "verbs:backends",
    ),
    Command(
        "models", "List the models: starters and your own runs.",
        (Positional("place", "FOLDER", "More folders to look in; ./runs always is.", many=True),), common.Models,
        ("artgen models", "artgen models /data/runs --sample samples/"), "house:models",
    ),
    Command(
        "show", "Tell what a file or folder is and how it was made.", (_PATH,), common.Show,
        ("artgen show first.png", "artgen show runs/photos", "artgen show song.flac --picture song.png"), "verbs:show",
    ),
    Command(
        "replay", "Make a work again from its recipe and compare.", (_WORK,), common.Replay,
        ("artgen replay first.png", "artgen replay first.png --output again.png"), "verbs:replay",
    ),
    Command(
        "doctor", "Try what artgen needs of this machine.", (), common.Doctor,
        ("artgen doctor", "artgen doctor --only formats --only devices", "artgen doctor --json"), "house:doctor",
    ),
)  # fmt: skip

HISTORY_HELP = "List every work made here; ARTGEN_HISTORY=off switches it off."
HISTORY = Command(
    "history", HISTORY_HELP, (), common.History,
    ("artgen history", 'artgen history --prompt "a fox" --since 7d', "artgen history --model runs --seed 7"), "house:history",
)  # fmt: skip
HISTORY_COMMANDS = (
    Command(
        "show", "Tell everything that is known of a work.", (_NUMBER,), common.Everywhere,
        ("artgen history show 12",), "house:history_show",
    ),
    Command(
        "replay", "Make a work again, also where its file is gone.", (_NUMBER,), common.HistoryReplay,
        ("artgen history replay 12", "artgen history replay 12 --output again.png"), "house:history_replay",
    ),
    Command(
        "export", "Write works, with their recipes, to a .json, .jsonl or .csv file.",
        (Positional("path", "FILE", "The file to write; its ending says the kind."),), common.Found,
        ("artgen history export works.json", "artgen history export week.csv --since 7d"), "house:history_export",
    ),
    Command(
        "forget", "Take works out of the history; their files stay.",
        (Positional("number", "NUMBER", "Works, by their numbers in artgen history.", many=True),), common.HistoryForget,
        ("artgen history forget 12 13", "artgen history forget --all"), "house:history_forget",
    ),
)  # fmt: skip

PLUGIN_COMMANDS = (
    Command(
        "list", "List the installed plugins; none is imported.", (), common.Plugins,
        ("artgen plugin list --load",), "plugin:list_",
    ),
    Command(
        "new", "Write a new plugin package that trains and passes its tests at once.",
        (Positional("name", "NAME", "Name of the backend: small letters, digits and dashes."),), common.PluginNew,
        ("artgen plugin new clouds --modality image",), "plugin:new",
    ),
    Command(
        "check", "Hold a plugin's backends to the contract.", (_PLUGIN,), common.PluginCheck,
        ("artgen plugin check image.gan",), "plugin:check",
    ),
    Command(
        "install", "Install plugins with pip or uv and remember them.", (_PACKAGES,), common.PluginInstall,
        ("artgen plugin install ./artgen-clouds",), "plugin:install",
    ),
    Command(
        "uninstall", "Remove plugins.", (_PACKAGES,), common.PluginInstall,
        ("artgen plugin uninstall artgen-clouds",), "plugin:uninstall",
    ),
    Command(
        "restore", "Install the remembered plugins that are gone.", (), common.PluginInstall,
        ("artgen plugin restore --yes",), "plugin:restore",
    ),
)  # fmt: skip
PLUGINS = Command("plugins", "The same as plugin list.", (), common.Plugins, ("artgen plugins",), "plugin:list_")
GROUPS = {"plugin": PLUGIN_COMMANDS, "history": HISTORY_COMMANDS}


def documented() -> list[tuple[str, Command]]:
    """Every command of artgen's own with the words that call it, for the reference."""
    found = [(each.name, each) for each in OWN_COMMANDS]
    found += [("history", HISTORY), *((f"history {each.name}", each) for each in HISTORY_COMMANDS)]
    return [*found, *((f"plugin {each.name}", each) for each in PLUGIN_COMMANDS)]


def flags_of(name: str, second: str) -> type[Options]:
    """The flags of a command, to suggest one for a mistyped flag."""
    tables = [*OWN_COMMANDS, HISTORY, PLUGINS]
    inner = next((each.flags for each in GROUPS.get(name, ()) if each.name == second), None)
    return inner or next((each.flags for each in tables if each.name == name), common.Everywhere)
