"""What ``artgen doctor``, ``artgen models`` and ``artgen history`` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from artgen.backend import SILENT
from artgen.cli.progress import Bars
from artgen.cli.voice import Voice, bytes_text
from artgen.errors import ArtgenError, UsageError

Arguments = Mapping[str, Any]
_SIGNS = {"good": "ok", "note": "note", "problem": "PROBLEM"}


def doctor(own: Any, arguments: Arguments) -> int:
    """``artgen doctor``; returns 1 where there is a problem."""
    from artgen.doctor import examine

    voice = Voice(own.json)
    found = []
    # Off a terminal the findings, which come one by one, tell how far it is.
    for finding in examine(own.only, voice.progress if isinstance(voice.progress, Bars) else SILENT):
        found.append(finding)
        if not own.json:
            remedy = f"\n           type: {finding.remedy}" if finding.remedy else ""
            voice.above(f"{_SIGNS[finding.state]:8} {finding.check}: {finding.told}{remedy}")
    problems = sum(finding.state == "problem" for finding in found)
    told = {"findings": [finding.asdict() for finding in found], "problems": problems}
    summary = (
        f"{problems} problem{'s' if problems != 1 else ''}: the lines above say what to type" if problems else "everything works"
    )
    voice.result(told, summary)
    return 1 if problems else 0


def models(own: Any, arguments: Arguments) -> None:
    """``artgen models [FOLDER…]``."""
    from artgen.catalogue import list_models, sample

    voice = Voice(own.json)
    found = list_models(arguments["place"])
    told = [each.asdict() for each in found]
    if own.sample:
        for each, facts in zip(found, told, strict=True):
            try:
                work = sample(each, progress=voice.progress)
                facts["sample"] = str(work.save(Path(own.sample) / f"{_plain(each)}{work.endings[0]}"))
            except ArtgenError as error:
                facts["sample"], facts["reason"] = "", facts["reason"] or f"no sample: {error}"
    rows = [
        (each["place"], each["origin"], each["backend"], bytes_text(each["bytes"]), each["data"], each["licence"],
         each.get("sample") or each["reason"] or each["next"])
        for each in told
    ]  # fmt: skip
    columns = ("model", "from", "backend", "size", "data", "licence", "sample")
    voice.table({"models": told}, columns, rows)


def history(own: Any, arguments: Arguments) -> None:
    """``artgen history``: the works that fit, newest first."""
    from artgen import history as works

    voice = Voice(own.json)
    found = _search(own, limit=own.limit)
    rows = [
        (str(each.id), _local(each.made), each.modality, each.model or each.backend, _seeds(each.recipe.seeds), _short(each.prompt),
         (each.path if each.there else f"{each.path} (gone)") if each.path else "shown only")
        for each in found
    ]  # fmt: skip
    if not found and not own.json:
        state = "" if works.enabled() else "; it is switched off"
        voice.say(f"no work of that kind in {works.place()}{state}")
        return
    voice.table({"works": [each.asdict() for each in found]}, ("number", "made", "of", "model", "seeds", "prompt", "where"), rows)


def history_show(own: Any, arguments: Arguments) -> None:
    """``artgen history show NUMBER``."""
    from artgen import history as works

    entry = works.get(_number(arguments))
    told = entry.asdict()
    lines = [
        f"{name}: {value}" for name, value in told.items() if name not in ("recipe", "prompt", "seeds") and value not in ("", None)
    ]
    lines[1] = f"made: {_local(entry.made)}"
    lines += [f"seeds: {_seeds(entry.recipe.seeds)}", *([f"prompt: {entry.prompt}"] if entry.prompt else [])]
    lines += [f"{name}: {value}" for name, value in entry.recipe.options.items() if value is not None]
    Voice(own.json).result(told, *lines, f"next: artgen history replay {entry.id}")


def history_replay(own: Any, arguments: Arguments) -> int:
    """``artgen history replay NUMBER``: make it again, and compare where the file is still there; returns 1 where it cannot be."""
    from artgen import history as works
    from artgen.cli.places import Places
    from artgen.remake import make, replay

    entry = works.get(_number(arguments))
    voice = Voice(own.json)
    output = own.output or (None if entry.there else Path(entry.path or f"history-{entry.id}").name)
    common: dict[str, Any] = {"model": own.model, "device": own.device, "progress": voice.progress}
    told: dict[str, Any] = {"id": entry.id, "path": entry.path}
    if entry.there:
        found = replay(entry.path, recipe=entry.recipe, **common)
        work, told["state"], told["reason"] = found.artwork, found.state, found.reason
    else:
        work = make(entry.recipe, beside=Path(entry.path).parent, **common)
        told["state"], told["reason"] = "made", "made again from its recipe; its file is gone, so nothing was compared"
    lines = [told["reason"]]
    if output and work is not None:
        work.recipe = work.recipe or entry.recipe
        if not Path(output).suffix and not output.endswith("/"):
            output += work.endings[0]
        where = Places.chosen(output, None, modality=work.modality)
        told["remake"] = str(work.save(where.path(work, label=f"history-{entry.id}")))
        lines.append(told["remake"])
    voice.result(told, *lines)
    return 1 if told["state"] == "impossible" else 0


def history_export(own: Any, arguments: Arguments) -> None:
    """``artgen history export FILE``."""
    from artgen import history as works

    if not arguments["path"]:
        raise UsageError("give a file to write: artgen history export works.json")
    found = _search(own, limit=None)
    path = works.export(found, arguments["path"])
    Voice(own.json).result({"path": str(path), "works": len(found)}, f"{path}: {len(found)} works")


def history_forget(own: Any, arguments: Arguments) -> None:
    """``artgen history forget NUMBER…`` or ``--all``; the files of the works stay."""
    from artgen import history as works

    numbers = arguments["number"]
    if bool(numbers) == own.all:
        raise UsageError("say what to forget: artgen history forget NUMBER…, or artgen history forget --all")
    gone = works.forget(None if own.all else [_whole(text) for text in numbers])
    Voice(own.json).result({"forgotten": gone}, f"{gone} forgotten; their files stay where they are")


def _search(own: Any, *, limit: int | None) -> Any:
    from artgen import history as works

    return works.search(
        prompt=own.prompt, model=own.model, seed=own.seed, since=own.since, until=own.until, modality=own.modality,
        backend=own.backend, limit=limit,
    )  # fmt: skip


def _number(arguments: Arguments) -> int:
    if not arguments["number"]:
        raise UsageError("give the number of a work, as artgen history lists it")
    return _whole(arguments["number"])


def _whole(text: str) -> int:
    if not text.isdigit():
        raise UsageError(f"a work has a number, as artgen history lists it, not {text}")
    return int(text)


def _plain(listed: Any) -> str:
    from artgen.cli.places import safe

    return safe(listed.place)


def _seeds(seeds: Sequence[int]) -> str:
    return f"{seeds[0]} to {seeds[-1]} ({len(seeds)})" if len(seeds) > 3 else " ".join(map(str, seeds))


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 40 else f"{flat[:39]}…"


def _local(made: str) -> str:
    return datetime.fromisoformat(made).astimezone().strftime("%Y-%m-%d %H:%M")
