"""Checks of what a backend declares; nothing is run but constructors and option classes."""

from __future__ import annotations

import inspect
import keyword
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from typing import Any

from artgen import registry
from artgen.backend import API_VERSION, RESERVED, VERBS, Backend, TrainOptions
from artgen.errors import OptionError
from artgen.options import Option, Options, declared, nearest, resolve
from artgen.testing import door
from artgen.testing.subject import Subject
from artgen.testing.verdict import Failure, NotApplicable, told

HEAVY = (
    "torch", "torchaudio", "torchvision", "transformers", "diffusers", "accelerate", "tokenizers", "librosa", "numba", "scipy",
    "sklearn", "pandas", "matplotlib", "tensorflow", "jax", "cv2", "onnxruntime",
)  # fmt: skip
"""Packages that take long to import: a backend imports them inside its methods."""

_PROBE = """
import sys
import artgen.backend, artgen.artwork, artgen.media.image
before = set(sys.modules)
__import__({module!r})
print("\\n".join(name for name in {heavy!r} if name in sys.modules and name not in before))
"""


def light_import(subject: Subject) -> None:
    """Importing the module of the class brings no heavy package, and works in a fresh process."""
    module = subject.cls.__module__
    if module == "__main__":
        raise NotApplicable("the class stands in a script; put it into a module to have its import looked at")
    found, error = _imported(module)
    if error:
        raise Failure(f"that {module} can be imported", f"a fresh process says {error}", f"try: python -c 'import {module}'")
    if found:
        raise Failure(
            f"that importing {module} brings no heavy package",
            f"it brings {', '.join(found)}",
            "import them inside the methods that use them, and types below TYPE_CHECKING",
        )


@cache
def _imported(module: str) -> tuple[list[str], str]:
    """The heavy packages that a fresh process has after importing ``module``, or the last line of its error."""
    path = os.pathsep.join(place for place in sys.path if place)
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-c", _PROBE.format(module=module, heavy=HEAVY)],
            capture_output=True, text=True, cwd=folder, env={**os.environ, "PYTHONPATH": path}, timeout=300, check=False,
        )  # fmt: skip
    if run.returncode:
        return [], (run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1]
    return [name for name in run.stdout.split() if name in HEAVY], ""


def described(subject: Subject) -> None:
    """The class says what it is: modality, name, summary, source, and the contract it is written for."""
    cls = subject.cls
    for what, example in (("modality", "image"), ("name", "dots"), ("summary", "One line that says what it makes.")):
        if not isinstance(getattr(cls, what, None), str) or not getattr(cls, what).strip():
            raise Failure(f"{what} to be text", f"it is {getattr(cls, what, 'not set')!r}", f"write {what} = {example!r}")
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", cls.name) or keyword.iskeyword(cls.name):
        raise Failure("a name of small letters, digits, - and _", f"it is {cls.name!r}", "choose one that is easy to type")
    if "\n" in cls.summary or len(cls.summary) > 120:
        raise Failure(
            "a summary of one line, at most 120 characters", f"it has {len(cls.summary)}", "say the rest in the docstring"
        )
    if not isinstance(cls.source, str) or not cls.source.strip():
        raise Failure("source to name the paper or project of the method", "it is empty", "write source = 'Author year, title'")
    if not inspect.getdoc(cls) or inspect.getdoc(cls) == inspect.getdoc(Backend):
        raise Failure("a docstring of the class", "it has none", "say in a sentence what the method does")
    if cls.modality not in registry.modalities():
        known = ", ".join(registry.modalities())
        advice = "install the package, so that its entry point in artgen.modalities is found, or correct the modality"
        seen = f"it is {cls.modality!r}{nearest(cls.modality, registry.modalities())}"
        raise Failure(f"a modality that is installed ({known})", seen, advice)
    if owner := door.taken_by(cls):
        raise Failure("a name of its own", f"{door.full_name(cls)} is another backend, of {owner}", "choose another name")
    if cls.api_version != API_VERSION:
        raise Failure(f"contract {API_VERSION}", f"the class says {cls.api_version}", f"write api_version = {API_VERSION}")


def verbs(subject: Subject) -> None:
    """What is declared and what is implemented fit together; methods take what the contract says; no name is nearly one of ours."""
    cls = subject.cls
    if not cls.verbs():
        raise Failure("at least one verb", "the class implements none", f"write one of the methods {', '.join(VERBS)}")
    for verb in VERBS:
        name = verb.capitalize()
        kind = getattr(cls, name)
        if not (isinstance(kind, type) and issubclass(kind, Options)):
            raise Failure(f"{name} to extend artgen.options.Options", f"it is {kind!r}", f"write class {name}(Options)")
        if verb not in cls.verbs() and kind is not getattr(Backend, name):
            raise Failure(f"a method {verb}(), because {name} is declared", "there is none", f"write it, or leave {name} out")
    if not issubclass(cls.Train, TrainOptions):
        raise Failure(
            "Train to extend TrainOptions", f"it extends {cls.Train.__mro__[1].__name__}", "write class Train(TrainOptions)"
        )
    _nearly_named(cls)
    _signatures(cls)
    try:
        cls()
    except Exception as error:
        raise Failure(
            "that the class is built without arguments", told(error), "do the work in the verbs, not in __init__"
        ) from error


def _nearly_named(cls: type[Backend]) -> None:
    known = {name for name in (*vars(Backend), *Backend.__annotations__, "sample_sources") if not name.startswith("_")}
    for name in dir(cls):
        hint = nearest(name, known) if not name.startswith("_") and name not in known else ""
        if hint and name.lower() not in {other.lower() for other in known}:
            raise Failure(
                "only names that the contract knows", f"{name} is not one of them{hint}", "correct it, or begin it with _"
            )


def _signatures(cls: type[Backend]) -> None:
    for name in ("prepare", "build", "task", "train", "generate", "together", "modify", "evaluate"):
        method = getattr(cls, name)
        if method is getattr(Backend, name):
            continue
        wanted = [name for name in inspect.signature(getattr(Backend, name)).parameters if name != "self"]
        try:
            inspect.signature(method).bind(None, *wanted)
        except TypeError as error:
            call = f"{name}({', '.join(wanted)})"
            raise Failure(f"{call} as the contract calls it", str(error), f"give {name} these parameters in this order") from None


def options_supported(subject: Subject) -> None:
    """Every option has a type that artgen can put on a command line."""
    for verb in subject.verbs:
        try:
            declared(subject.declaration(verb))
        except Exception as error:
            expected = f"options of {verb} that are bool, int, float, str, Literal or a tuple of one of them"
            raise Failure(expected, told(error), "change the type") from error


def options_documented(subject: Subject) -> None:
    """Every option says what it means."""
    for verb, option in _options(subject):
        text = option.description.strip()
        if not text:
            seen = f"{option.flag} of {verb} says nothing"
            raise Failure("a description of every option", seen, 'write Annotated[…, Meta(description="What it does.")]')


def options_defaults(subject: Subject) -> None:
    """Every default is a value that the option itself allows."""
    for verb in subject.verbs:
        kind = subject.declaration(verb)
        options = _declared(kind)
        needed = {option.name: value for option in options if option.required and (value := _inside(option)) is not None}
        needed |= {name: value for name, value in subject.given.get(verb, {}).items() if name in needed}
        try:
            resolve(kind, needed)
        except OptionError as error:
            raise Failure(
                f"defaults of {verb} that are within their ranges", f"it says {error}", "correct default or range"
            ) from None


def options_refuse(subject: Subject) -> None:
    """Every value just outside a range, not among the choices or of another type is refused with artgen's sentence."""
    for verb, option in _options(subject):
        kind = subject.declaration(verb)
        given = {name: value for name, value in subject.given.get(verb, {}).items() if name != option.name}
        for value in outside(option):
            _refused(kind, option, value, given)


def _refused(kind: type[Options], option: Option, value: object, given: dict[str, Any]) -> None:
    expected = f"{option.flag} to refuse {value!r} with '{option.flag} takes {option.allowed} …'"
    advice = "leave the check to the declaration; a __post_init__ of yours calls super().__post_init__() first"
    try:
        resolve(kind, given, {option.name: value})
    except OptionError as error:
        if not str(error).startswith(f"{option.flag} takes "):
            raise Failure(expected, f"it says '{error}'", advice) from None
    except Exception as error:
        raise Failure(expected, told(error), advice) from error
    else:
        raise Failure(expected, "it takes the value", advice)


def outside(option: Option) -> Iterator[object]:
    """Values that ``option`` does not allow: next to each bound, not among the choices, of another type."""
    step = 1 if option.kind is int else 0.0
    for bound, excluded, way in (
        (option.ge, False, -1), (option.gt, True, -1), (option.le, False, 1), (option.lt, True, 1),
    ):  # fmt: skip
        if bound is None or option.kind not in (int, float):
            continue
        if option.kind is int:
            yield int(bound) if excluded else int(bound) + way * step
        else:
            yield float(bound) if excluded else math.nextafter(bound, way * math.inf)
    if option.choices:
        yield ("no such choice",) if option.kind is list else "no such choice"
    elif option.kind is str:
        yield 3
        if option.pattern is not None:
            yield from [text for text in ("", "§", "no such text") if not re.search(option.pattern, text)][:1]
    elif option.kind is list:
        yield 3
    else:
        yield "no number"
    if option.kind is float:
        yield math.nan


def options_own_flags(subject: Subject) -> None:
    """No option takes a name that is artgen's own."""
    for verb, option in _options(subject):
        if option.name.rstrip("_") in RESERVED[verb]:
            raise Failure(f"options of {verb} beside artgen's own", f"{option.flag} is one of artgen's", "choose another name")


def usable(subject: Subject) -> None:
    """artgen's registry takes the class in: it has a reason to refuse it that no other check names."""
    try:
        with door.installed(subject.cls):
            return
    except NotApplicable as reason:
        for check in (described, verbs, options_supported, options_defaults, options_own_flags):
            try:
                check(subject)
            except (Failure, NotApplicable):
                raise NotApplicable("another check on the declaration says why artgen refuses it") from None
        raise Failure("that artgen can use the class", str(reason), "see artgen plugin list for the reason") from None


def _options(subject: Subject) -> Iterator[tuple[str, Option]]:
    for verb in subject.verbs:
        for option in _declared(subject.declaration(verb)):
            yield verb, option


def _declared(kind: type[Options]) -> tuple[Option, ...]:
    try:
        return declared(kind)
    except Exception:
        raise NotApplicable("its options cannot be read; see the check options-supported") from None


def _inside(option: Option) -> object:
    """Some value that a required ``option`` allows."""
    if option.choices:
        return (option.choices[0],) if option.kind is list else option.choices[0]
    if option.kind in (int, float):
        bounds = [bound for bound in (option.ge, option.le) if bound is not None]
        value = bounds[0] if bounds else (option.gt or 0) + 1
        return option.kind(value)
    return {bool: False, str: "text", list: ()}[option.kind]
