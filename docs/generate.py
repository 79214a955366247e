"""Write the reference pages from the declarations: ``python docs/generate.py``, or ``--check`` that they are current.

Nothing in ``docs/reference`` is written by hand: options come from the backends' ``Options`` classes, names and
signatures from the package.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import artgen
from artgen import artwork, backend, dataset, errors, model, options, registry, testing, training
from artgen.backend import API_VERSION, VERBS, Backend
from artgen.cli import common
from artgen.cli.own import documented
from artgen.options import Option, declared
from artgen.testing import kit

FOLDER = Path(__file__).resolve().parent / "reference"
NOTE = "<!-- Written by docs/generate.py from the code: change the declaration, not this page. -->\n"


def pages() -> dict[str, str]:
    """Every reference page by its file name."""
    own = [registry.load(entry) for entry in registry.entries() if entry.built_in]
    found = {"backends.md": backends_page(own), "python.md": python_page(), "errors.md": errors_page()}
    found["command-line.md"] = command_line_page()
    found["contract.md"] = contract_page()
    found["testing.md"] = testing_page()
    for cls in own:
        found[f"{cls.modality}-{cls.name}.md"] = backend_page(cls)
    return {name: f"{NOTE}\n{text.strip()}\n" for name, text in found.items()}


def backends_page(classes: list[type[Backend]]) -> str:
    """The table of the built-in backends."""
    rows = [
        f"| [{cls.modality}.{cls.name}]({cls.modality}-{cls.name}.md) | {', '.join(cls.verbs())} | {cell(cls.summary)} |"
        for cls in classes
    ]
    head = "# Backends\n\nThe backends that come with artgen. `artgen backends` lists those of plugins too.\n"
    return "\n".join([head, "| backend | verbs | what it is |", "|---|---|---|", *rows])


def command_line_page() -> str:
    """The flags that are artgen's own, a table a command."""
    head = "The same whichever backend is used; the flags of a backend are on [its page](backends.md) and come on top."
    lines = ["# Command line", "", head, ""]
    for name in VERBS:
        own = getattr(common, name.capitalize())
        lines += [f"## {name}", "", f"`artgen <modality> {name}`", "", *option_table(declared(own)), ""]
    for name, each in documented():
        place = " ".join([f"artgen {name}", *(f"{one.metavar}{'…' if one.many else ''}" for one in each.positionals)])
        lines += [f"## {name}", "", f"`{place}`: {each.help}", "", *option_table(declared(each.flags)), ""]
        lines += ["For example:", "", "```bash", *each.examples, "```", ""]
    return "\n".join(lines)


def contract_page() -> str:
    """What a plugin author implements and may use, from ``artgen.backend`` and the classes that it hands out."""
    lines = [f"# The contract, version {API_VERSION}", "", documentation(backend).partition("\n\n")[2], ""]
    lines += ["## Backend", "", documentation(Backend), "", "Class variables, and the options of each verb:", ""]
    lines += ["| name | type |", "|---|---|"]
    lines += [f"| `{name}` | `{cell(str(kind))}` |" for name, kind in Backend.__annotations__.items()]
    for name in vars(Backend):
        value = inspect.getattr_static(Backend, name)
        function = value.__func__ if isinstance(value, classmethod) else value
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        lines += ["", f"### {name}", "", "```python", f"def {name}{signature(function)}", "```", "", documentation(function)]
    lines += ["", "## TrainOptions", "", "What every training can be asked for.", "", *option_table(declared(backend.TrainOptions))]
    for cls in (
        backend.Score,
        backend.Progress,
        artwork.Artwork,
        model.Model,
        model.NoModel,
        model.Foreign,
        dataset.Dataset,
        options.Options,
    ):
        lines += ["", f"## {cls.__name__}", "", f"`{cls.__module__}.{cls.__qualname__}`", "", documentation(cls), "", *members(cls)]
    lines += ["", "## Training", "", "From `artgen.training`; imported inside methods, since it imports torch.", ""]
    for cls in (training.Task, training.Phase, training.Batch, training.Position, training.Layout):
        lines += [f"### {cls.__name__}", "", documentation(cls), "", *members(cls), ""]
    lines += ["### fit", "", "```python", f"def fit{signature(training.fit)}", "```", "", documentation(training.fit)]
    lines += ["", "## Reserved names", "", "Names that an option of a backend cannot have, since artgen has them itself.", ""]
    lines += ["| verb | names |", "|---|---|"]
    lines += [f"| {verb} | {', '.join(f'`{name}`' for name in sorted(names))} |" for verb, names in backend.RESERVED.items()]
    return "\n".join(lines)


def backend_page(cls: type[Backend]) -> str:
    """One backend: what it is, and a table of options a verb."""
    lines = [f"# {cls.modality}.{cls.name}", "", cls.summary, ""]
    if cls.source:
        lines += [f"Source of the method: {cls.source}", ""]
    lines += [
        "An option has one name everywhere: `--batch-size` on the command line is `batch_size` in TOML, in Python and in a recipe.",
        "Flags that do not depend on the backend, such as `--output`, are on the page [command line](command-line.md).",
        "",
    ]
    for verb in cls.verbs():
        options = declared(getattr(cls, verb.capitalize()))
        lines += [f"## {verb}", "", f"`artgen {cls.modality} {verb} --backend {cls.name}`", ""]
        lines += [*option_table(options), ""] if options else ["No options of its own.", ""]
        if verb == "train" and cls.metrics:
            lines += [f"Metrics for `--until` and `--best-by`: {', '.join(f'`{name}`' for name in cls.metrics)}.", ""]
    return "\n".join(lines)


def option_table(options: tuple[Option, ...]) -> Iterator[str]:
    """The rows of a table of options."""
    yield "| flag | meaning | allowed | default |"
    yield "|---|---|---|---|"
    for option in options:
        allowed = " ".join(part for part in (option.allowed, option.unit if not option.choices else "") if part)
        flag = f"`{option.flag}`" + (f", `{option.short}`" if option.short else "")
        yield f"| {flag} | {cell(option.description)} | {cell(allowed)} | {default(option)} |"


def default(option: Option) -> str:
    """How the default of ``option`` is shown."""
    if option.required:
        return "required"
    if option.default in (None, "", (), []):
        return ""
    shown = str(option.default).lower() if option.kind is bool else str(option.default)
    return f"`{cell(shown)}`"


def python_page() -> str:
    """Every public name of the package, with signature and docstring."""
    lines = ["# Python", "", "`import artgen` loads nothing; each name is loaded when it is first used.", ""]
    for name in sorted(artgen.__all__, key=lambda name: (name[0].isupper(), name)):
        if name == "__version__":
            continue
        value = getattr(artgen, name)
        if inspect.isclass(value):
            lines += [f"## {name}", "", documentation(value), "", *members(value), ""]
        else:
            lines += [f"## {name}", "", "```python", f"artgen.{name}{signature(value)}", "```", "", documentation(value), ""]
    return "\n".join(lines)


def testing_page() -> str:
    """The conformance kit: its functions, and a row for every check."""
    lines = ["# artgen.testing", "", documentation(testing), ""]
    for function in (testing.conformance, testing.check_backend):
        name = function.__name__
        shown = f"artgen.testing.{name}{signature(function)}"
        lines += [f"## {name}", "", "```python", shown, "```", "", documentation(function), ""]
    lines += ["## Check", "", documentation(testing.Check), ""]
    lines += ["## The checks", "", "| check | what a backend is held to |", "|---|---|"]
    checks = {**kit.DECLARATIONS, **kit.WORK}
    lines += [f"| `{name}` | {cell(documentation(check).replace(chr(10), ' '))} |" for name, check in checks.items()]
    return "\n".join(lines).replace("::\n", ":\n")


def members(cls: type) -> Iterator[str]:
    """The public methods and properties of a class, inherited ones of ours included."""
    yield "| member | what it is |"
    yield "|---|---|"
    for name in sorted(name for name in dir(cls) if not name.startswith("_")):
        value = inspect.getattr_static(cls, name)
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if inspect.isfunction(function):
            shown = f"{name}{signature(function, short=True)}"
        elif isinstance(value, property) or hasattr(value, "attrname"):  # a property, or functools.cached_property
            shown = name
        else:
            continue
        yield f"| `{cell(shown)}` | {cell(documentation(function).partition('. ')[0].splitlines()[0].rstrip('.'))} |"


def signature(function: Any, short: bool = False) -> str:
    """The signature as it is written in the source; ``short`` leaves the types out."""
    shown = []
    star = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            shown.append("*")
            star = True
        prefix = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        star = star or prefix == "*"
        typed = parameter.annotation is not parameter.empty and not short
        text = f"{prefix}{parameter.name}" + (f": {parameter.annotation}" if typed else "")
        if parameter.default is not parameter.empty:
            value = "SILENT" if type(parameter.default).__name__ == "Silent" else repr(parameter.default)
            text += f" = {value}" if typed else f"={value}"
        shown.append(text)
    answer = inspect.signature(function).return_annotation
    arrow = "" if short or answer is inspect.Signature.empty else f" -> {answer}"
    if short or len(", ".join(shown)) < 90:
        return f"({', '.join(shown)}){arrow}"
    return "(\n" + "".join(f"    {line},\n" for line in shown) + f"){arrow}"


def documentation(thing: Any) -> str:
    """The docstring as Markdown: roles become code, ``Raises:`` a list."""
    text = inspect.getdoc(thing) or ""
    text = re.sub(r":\w+:`~?\.?([^`]+)`", r"`\1`", text).replace("``", "`")
    body, found, raised = text.partition("Raises:\n")
    if not found:
        return body.strip()
    items = [line.strip() for line in inspect.cleandoc(raised).splitlines()]
    rows: list[str] = []
    for line in items:
        name, colon, reason = line.partition(": ")
        if colon and name.isidentifier():
            rows.append(f"- `{name}`: {reason}")
        elif rows and line:
            rows[-1] += f" {line}"
    return f"{body.strip()}\n\nRaises:\n\n" + "\n".join(rows)


def errors_page() -> str:
    """The errors a caller can catch, with the exit codes of the command line."""
    lines = ["# Errors", "", "All are in `artgen.errors`; the command line prints their sentence and exits with their code.", ""]
    lines += ["| error | is a | exit code | when |", "|---|---|---|---|"]
    for name, value in vars(errors).items():
        if inspect.isclass(value) and issubclass(value, errors.ArtgenError):
            parents = ", ".join(f"`{base.__name__}`" for base in value.__bases__)
            lines.append(f"| `{name}` | {parents} | {value.exit_code} | {cell(documentation(value))} |")
    return "\n".join(lines)


def cell(text: str) -> str:
    """Text that stands in one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    """Write the pages, or with ``--check`` say which are not current."""
    wanted = pages()
    existing = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    if "--check" in sys.argv[1:]:
        stale = sorted(name for name in {*wanted, *existing} if wanted.get(name) != existing.get(name))
        if stale:
            print(f"not current: {', '.join(stale)}; run python docs/generate.py", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name in existing.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
