"""Checks of how a backend behaves as a guest in the process, on the disk and on the network, and of its errors."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from artgen import api
from artgen.errors import ArtgenError
from artgen.model import WEIGHTS, Model
from artgen.testing import samples
from artgen.testing.life import Life
from artgen.testing.subject import SEEDS, Subject, require_same
from artgen.testing.verdict import Failure, NotApplicable, told

_GIVEN = "write below the folder that is given"
_PICKLE_ENDINGS = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")


def offline(subject: Subject) -> None:
    """Nothing is asked for over the network once sources and model are on disk."""
    if addresses := subject.cold.watch.addresses:
        advice = "take what is needed from the model folder or the package; a download is a step that the user asks for"
        raise Failure("no network", f"it asked for {_some(addresses)}", advice)


def cpu(subject: Subject) -> None:
    """With the CPU as device no CUDA is started."""
    if subject.cold.watch.cuda:
        raise Failure("everything on the CPU", "it started CUDA", "use model.device and run.device, and name no device yourself")


def working_folder(subject: Subject) -> None:
    """Nothing is written into the folder that artgen was called from: it may be read-only."""
    life = subject.cold
    cwd = life.folder / "cwd"
    seen = [str(place.relative_to(cwd)) for place in life.watch.written if place.is_relative_to(cwd) and place != cwd]
    seen += [str(place.relative_to(cwd)) for place in cwd.rglob("*")]
    if seen:
        raise Failure("nothing to be written into the working folder", f"it wrote {_some(seen)}", _GIVEN)


def no_leftovers(subject: Subject) -> None:
    """No file stays behind outside the folders that are given, and the user's own files are as they were."""
    life = subject.cold
    if life.changed_inputs:
        raise Failure("the user's files as they were", f"it changed {_some(life.changed_inputs)}", _GIVEN)
    if life.temporary:
        raise Failure(
            "no temporary files at the end", f"it left {_some(life.temporary)}", "use tempfile.TemporaryDirectory in a with"
        )
    outside = [place for place in life.watch.written if place.exists() and not _is_ours(subject, place)]
    if outside:
        seen = f"it wrote {_some([str(place) for place in outside])}"
        raise Failure("files only below the folders that are given", seen, "write there, or into artgen's cache ($ARTGEN_HOME)")


def _is_ours(subject: Subject, place: Path) -> bool:
    caches = (os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"), os.environ.get("NUMBA_CACHE_DIR") or os.devnull)
    resolved = place.resolve()
    return resolved.is_relative_to(subject.folder) or any(place.is_relative_to(cache) for cache in caches)


def no_threads(subject: Subject) -> None:
    """No thread is running once the verbs are done."""
    if subject.cold.threads:
        raise Failure("no thread at the end", f"{_some(subject.cold.threads)} still runs", "end it: use its pool in a with")


def global_state(subject: Subject) -> None:
    """Random generators, default dtype, threads, environment, warnings and signal handlers are as they were."""
    for life, name in ((subject.cold, "first"), (subject.warm, "second")):
        found = life.before.changed(life.after)
        if life is subject.cold:  # importing a library for the first time sets variables and filters of its own
            found = [what for what in found if not what.startswith(("the environment", "the warnings filters"))]
        if found:
            advice = "use generators of your own, and give back what you borrow in a finally"
            raise Failure("the state of the process as it was", f"its {name} run changed {', '.join(found)}", advice)


def no_pickle(subject: Subject) -> None:
    """No pickle is read or written: a pickle runs code when it is opened."""
    life = subject.cold
    advice = "use safetensors for tensors and JSON for the rest"
    if life.watch.unpickled:
        raise Failure("no pickle", f"it read or wrote one ({_some(sorted(set(life.watch.unpickled)))})", advice)
    for place in sorted(life.folder.rglob("*")):
        if place.is_file() and (place.suffix in _PICKLE_ENDINGS or _is_pickle(place)):
            raise Failure("no pickle among the files", f"it wrote {place.relative_to(life.folder)}", advice)


def _is_pickle(place: Path) -> bool:
    with place.open("rb") as file:
        head = file.read(2048)
    # Protocol 2 and later begin so, and end in a full stop; torch.save makes a zip whose first entry is data.pkl.
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and len(head) > 2:
        return place.read_bytes()[-1:] == b"."
    return (head.startswith(b"PK") and b"data.pkl" in head) or (head.startswith(b"\x93NUMPY") and b"'|O'" in head[:256])


def progress_optional(subject: Subject) -> None:
    """The same works and weights come out with and without a progress display."""
    cold, warm = subject.cold, subject.warm
    for verb in ("generate", "modify"):
        if verb not in subject.verbs:
            continue
        for first, second in zip(_results(cold, verb), _results(warm, verb), strict=True):
            if "train" in subject.verbs and _weights(cold) != _weights(warm):
                raise NotApplicable("two trainings differ anyway; see the check same-training")
            advice = "let the progress object show, never decide"
            require_same(first, second, f"{verb} to give the same with a progress display", "it gave something else", advice)
    if not {"generate", "modify"} & set(subject.verbs):
        raise NotApplicable("it makes no works")


def progress_balanced(subject: Subject) -> None:
    """Every piece of work that is begun is ended, and told in words."""
    subject.cold.result(subject.verbs[0])
    recording = subject.warm.progress
    assert recording is not None
    if recording.faults:
        raise Failure("a progress that can be shown", recording.faults[0], "call start, then advance, then finish")
    if recording.open and not subject.warm.errors:
        seen = f"{recording.open} of {len(recording.started)} were not ({_some(recording.started)})"
        raise Failure("a finish() for every start()", seen, "call finish in a finally")


def errors_sources(subject: Subject) -> None:
    """A missing, an empty and an unreadable source end in one sentence of artgen's errors, which names the source."""
    subject.need("prepare")
    folder = subject.folder / "bad sources"
    (folder / "empty").mkdir(parents=True, exist_ok=True)
    (folder / "nothing").mkdir(exist_ok=True)
    (folder / "nothing" / "nothing.bin").write_bytes(b"")
    for number, name in enumerate(("missing", "empty", "nothing")):
        output = folder / f"dataset-{number}"
        source = folder / name

        def prepare(source: Path = source, output: Path = output) -> Any:
            options = subject.options("prepare")
            return api.prepare(subject.cls.modality, source, output, backend=subject.cls.name, **options)

        _sentence(prepare, f"prepare of a source that is {name if name != 'nothing' else 'a folder with one empty file'}", name)


def errors_model(subject: Subject) -> None:
    """A model whose weights were altered ends in one sentence of artgen's errors, which names the file or the folder.

    Weights that are cut off are found out when a model is opened, before any backend sees them.
    """
    subject.need("train")
    making = next((verb for verb in ("generate", "modify") if verb in subject.verbs), None)
    if making is None:
        raise NotApplicable("it makes no works")
    subject.cold.result(making)
    folder = subject.folder / "altered model"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(subject.cold.result("train").folder, folder)
    data = bytearray((folder / WEIGHTS).read_bytes())
    if not data[8 + int.from_bytes(data[:8], "little") :]:
        raise NotApplicable("its models have no weights")
    data[-1] ^= 0x55
    (folder / WEIGHTS).write_bytes(data)
    common: dict[str, Any] = {"backend": subject.cls.name, "device": "cpu", **subject.options(making)}

    def make() -> Any:
        model = Model.open(folder)
        if making == "generate":
            return api.generate(subject.cls.modality, seeds=SEEDS[:1], model=model, **common)
        return api.modify(subject.cls.modality, subject.own_works[:1], model=model, **common)

    _sentence(make, f"{making} with a model whose weights were altered", folder.name)


def errors_inputs(subject: Subject) -> None:
    """Works that are odd but a user may have (grey, transparent, of one pixel, empty) are modified, or refused in one sentence."""
    subject.need("modify")
    subject.cold.result("modify")
    odd = samples.odd_works(subject.cls.modality)
    if not odd:
        raise NotApplicable(f"the kit has no odd works of {subject.cls.modality}")
    for work in odd:
        try:
            subject.modify([work])
        except ArtgenError as error:
            _hold(error, f"modify of {work.name}", "", "say what was given and what is allowed")
        except Exception as error:
            expected = f"modify of {work.name} to work, or to end in one sentence (a subclass of artgen.errors.ArtgenError)"
            raise Failure(expected, told(error), "take it, or raise UsageError: what was given, what is allowed") from error


def _sentence(work: Callable[[], Any], what: str, names: str) -> None:
    """Hold ``work`` to end in a sentence of artgen's errors that contains ``names``."""
    expected = f"{what} to end in one sentence (a subclass of artgen.errors.ArtgenError)"
    advice = "raise SourceError, ModelError or UsageError: what was given, what is allowed, what to type next"
    try:
        work()
    except ArtgenError as error:
        _hold(error, expected, names, advice)
    except (Exception, SystemExit) as error:
        raise Failure(expected, told(error), advice) from error
    else:
        raise Failure(expected, "it went on as if nothing were wrong", advice)


def _hold(error: ArtgenError, expected: str, names: str, advice: str) -> None:
    """Hold the text of ``error`` to be one line of some words, with ``names`` in it."""
    text = str(error).strip()
    if len(text.split()) < 4 or "\n" in text or (names and names not in text):
        raise Failure(
            f"{expected} that names it" if names else f"a sentence from {expected}", f"it said {text!r}", advice
        ) from error


def _results(life: Life, verb: str) -> list[Any]:
    found: list[Any] = life.result(verb)
    return found


def _weights(life: Life) -> bytes:
    data: bytes = (life.result("train").folder / WEIGHTS).read_bytes()
    return data


def _some(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
