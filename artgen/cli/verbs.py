"""What each command does: call the API, save, and tell."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from artgen import api
from artgen.artwork import Artwork, Image, Video, grid, moving_grid, open_artwork, read_recipe
from artgen.cli.places import Places, check_writable, seed_text
from artgen.cli.progress import duration
from artgen.cli.seeds import parse_seeds
from artgen.cli.voice import Voice, bytes_text, shortened, show_table
from artgen.errors import OptionError, UsageError
from artgen.files import typed
from artgen.model import Model
from artgen.options import Options, declared
from artgen.signing import Signature

_LARGEST_SHEET = 10_000
_FILMED = ("walk", "audio")
"""Options by which pictures become a film, where a backend has them."""

Values = dict[str, Any]
Arguments = Mapping[str, Any]


def prepare(modality: str, own: Any, options: Values, arguments: Arguments) -> None:
    """``artgen <modality> prepare SOURCE… --output DATASET``."""
    voice = Voice(own.json)
    if not arguments["source"]:
        raise UsageError(f"give what to prepare: artgen {modality} prepare SOURCE… --output DATASET")
    if not own.output:
        raise UsageError("--output DATASET must be given: the folder of the new dataset")
    dataset = api.prepare(modality, arguments["source"], own.output, backend=own.backend, progress=voice.progress, **options)
    skipped = [(item.file, item.reason) for item in dataset.manifest.skipped]
    voice.close()
    if skipped and not own.json:
        rows, rest = shortened(skipped, f"{dataset.folder}/dataset.json")
        show_table(("skipped", "reason"), rows, stderr=True)
        voice.say(rest) if rest else None
    told: Values = {"dataset": str(dataset.folder), "kind": dataset.kind, "count": len(dataset), "classes": dataset.classes}
    told["skipped"] = [{"file": file, "reason": reason} for file, reason in skipped]
    told["notes"] = {name: value for name, value in dataset.manifest.notes.items() if name != "key"}
    classes = f" in {len(dataset.classes)} classes" if dataset.classes else ""
    left_out = f", {len(skipped)} skipped" if skipped else ""
    count = told["notes"].get("files", len(dataset))  # of sounds one file may be two pieces: nobody gave that many
    voice.result(told, f"{dataset.folder}: {count} usable{classes}{left_out}")
    voice.say(f"next: artgen {modality} train {typed(dataset.folder)}")


def train(modality: str, own: Any, options: Values, arguments: Arguments) -> None:
    """``artgen <modality> train SOURCE_OR_DATASET --output RUN``."""
    from artgen.plan import plan_training

    voice = Voice(own.json)
    plan = plan_training(
        modality, arguments["source"], own.output, backend=own.backend, resume=own.resume, config=own.config,
        device=own.device, **options,
    )  # fmt: skip
    if own.dry_run:
        resolved: Values = {"output": str(plan.output), "dataset": str(plan.dataset), "options": plan.options.asdict()}
        resolved["settled"] = _plain(plan.settled())
        resolved["prepare"] = plan.prepare.asdict() if plan.prepare else None
        voice.result(resolved, plan.to_toml().rstrip("\n"))
        return
    first = api.processes()[0] == 0
    if first:
        voice.say(f"run: {plan.output}")
    model = api.run_training(plan, progress=voice.progress)
    if first:
        from artgen.describe import summary

        found = summary(plan.output)
        told = {"run": str(plan.output), "model": str(model.folder), "backend": model.backend, "scores": model.config.scores}
        voice.result({**told, "summary": _plain(found)}, str(model.folder))
        for line in _summary_lines(found):
            voice.say(line)


def generate(modality: str, own: Any, options: Values, arguments: Arguments) -> None:
    """``artgen <modality> generate``; with ``--grid`` all works are one sheet."""
    voice = Voice(own.json)
    seeds = parse_seeds(own.seeds) if own.seeds is not None else None
    if modality == "text":
        from artgen.cli import texts

        texts.generate(modality, own, options, seeds)
        return
    sheet = _sheet(own)
    if sheet and modality not in ("image", "video"):
        raise UsageError("--grid is for pictures and clips; leave it out")
    count = own.count
    if sheet:
        places = sheet[0] * sheet[1]
        if (count or 0) > places or len(seeds or ()) > places:
            raise UsageError(
                f"--grid {own.grid} holds {places} works, not {count or len(seeds or ())}; ask for fewer or a larger grid"
            )
        count = count if count or seeds else places
        if api.processes()[0] != 0:
            return  # a sheet is one piece of work, and the first process makes it
    sound = modality in ("image", "video") and options.get("audio") is not None
    where = Places.chosen(own.output, own.format, known=("seed", "model"), modality=modality, sound=sound)
    signature = _signature(own, where)
    cls, model = api.choose(modality, "generate", model=own.model, backend=own.backend)
    if modality == "image" and {option.name for option in declared(cls.Generate)} & set(_FILMED):
        where.check_kind(film=any(options.get(name) is not None for name in _FILMED))
    works = api.iter_generate(
        modality, model=model, backend=cls.name, n=count, seed=own.seed, seeds=seeds, device=own.device,
        progress=voice.progress, share=not sheet, **options,
    )  # fmt: skip
    if sheet:
        works = iter([_as_grid(list(works), *sheet, modality)])
    files = list(_saved(works, where, model, own, voice, signature, asked=len(seeds or ()) or count or 1))
    if own.json:
        voice.result({"model": model.name, "backend": model.backend, "files": files})
    voice.open([told["path"] for told in files], own)


def modify(modality: str, own: Any, options: Values, arguments: Arguments) -> None:
    """``artgen <modality> modify WORK… --model PATH``."""
    voice = Voice(own.json)
    inputs: list[str] = arguments["work"]
    if not inputs:
        raise UsageError(f"give what to modify: artgen {modality} modify FILE…")
    if modality == "text":
        from artgen.cli import texts

        texts.modify(modality, own, options, inputs)
        return
    if own.compare and modality != "image":
        raise UsageError("--compare is for pictures; leave it out")
    sound = modality in ("image", "video") and options.get("audio") is not None
    where = Places.chosen(own.output, own.format, known=("seed", "model", "name"), modality=modality, sound=sound)
    signature = _signature(own, where)
    cls, model = api.choose(modality, "modify", model=own.model, backend=own.backend)
    works = api.iter_modify(
        modality, inputs, model=model, backend=cls.name, seed=own.seed, device=own.device, progress=voice.progress, **options,
    )  # fmt: skip
    files = []
    for source, work in zip(inputs, works, strict=True):
        name = Path(source).stem
        path = where.path(work, label=f"{name}-modified", extra=name if len(inputs) > 1 else "", model=model.name, name=name)
        told: Values = {"path": str(work.save(path, recipe=own.recipe, sign=signature)), "input": source, "seeds": list(work.seeds)}
        if own.compare:
            told["compare"] = str(_save_comparison(source, work, Path(told["path"]), own.recipe, signature))
        files.append(told)
        voice.work([told["path"], *([told["compare"]] if own.compare else [])], work, own)
    if own.json:
        voice.result({"model": model.name, "backend": model.backend, "files": files})
    voice.open([told["path"] for told in files], own)


def evaluate(modality: str, own: Any, options: Values, arguments: Arguments) -> None:
    """``artgen <modality> evaluate MODEL DATASET``."""
    voice = Voice(own.json)
    if not arguments["model"] or not arguments["dataset"]:
        raise UsageError(f"give a model and a dataset: artgen {modality} evaluate MODEL DATASET")
    if own.output:
        check_writable(Path(own.output))
    scores = api.evaluate(
        modality, arguments["model"], arguments["dataset"], backend=own.backend, device=own.device,
        progress=voice.progress, **options,
    )  # fmt: skip
    told: dict[str, Values] = {}
    for name, score in scores.items():
        told[name] = {field: getattr(score, field) for field in ("value", "floor", "better", "description", "protocol")}
        if own.output and score.sheet is not None:
            told[name]["sheet"] = str(score.sheet.save(Path(own.output) / f"{name}{score.sheet.endings[0]}"))
    if own.output:
        _write_scores(Path(own.output), told)
    protocols, remarks = _once([score.protocol for score in scores.values()])
    rows = [
        (name, _number(score.value), _number(score.floor), score.better, score.description, protocol)
        for (name, score), protocol in zip(scores.items(), protocols, strict=True)
    ]
    voice.table(_plain({"model": arguments["model"], "dataset": arguments["dataset"], "scores": told}),
                ("score", "value", "floor (real against real)", "better", "what it tells", "protocol"), rows)  # fmt: skip
    for remark in remarks:
        voice.say(remark)
    for values in told.values():
        if "sheet" in values:
            voice.say(f"sheet: {values['sheet']}")
    if not own.output and any(score.sheet is not None for score in scores.values()):
        voice.say("--output FOLDER keeps the sheets: what was made beside the nearest of what was learned from")


def _once(protocols: Sequence[str]) -> tuple[list[str], list[str]]:
    """The protocols without the remarks in brackets at their ends, and each of these once."""
    parts = [protocol.partition(" (") for protocol in protocols]
    return [name for name, _, _ in parts], list(dict.fromkeys(remark.removesuffix(")") for _, _, remark in parts if remark))


def backends(own: Any, options: Values, arguments: Arguments) -> None:
    """``artgen backends``."""
    found = api.list_backends(own.modality)
    rows = [
        (
            item["name"],
            " ".join(item["verbs"]),
            item["summary"] or f"cannot be used: {item['reason']}",
            f"{item['package']} {item['version']}",
        )
        for item in found
    ]
    Voice(own.json).table({"backends": found}, ("backend", "verbs", "what it is", "from"), rows)


def show(own: Any, options: Values, arguments: Arguments) -> None:
    """``artgen show FILE|MODEL|DATASET|RUN``."""
    from artgen.describe import picture
    from artgen.describe import show as describe

    if not arguments["path"]:
        raise UsageError("give what to show: artgen show FILE, MODEL, DATASET or RUN")
    facts = describe(arguments["path"])
    if own.picture:
        facts["picture"] = str(picture(arguments["path"], own.picture))
    voice = Voice(own.json)
    place = facts.get("picture") or arguments["path"]
    if not own.json and sys.stdout.isatty() and Path(place).is_file():
        voice.work([], open_artwork(place), own)
    voice.result(_plain(facts), *_fact_lines(facts))
    voice.open([place], own)


def replay(own: Any, options: Values, arguments: Arguments) -> int:
    """``artgen replay FILE``; returns 1 when the work cannot be made again."""
    from artgen.remake import replay as remake

    if not arguments["path"]:
        raise UsageError("give what to make again: artgen replay FILE")
    voice = Voice(own.json)
    where = Places.chosen(own.output, None, modality=_modality_of(arguments["path"])) if own.output else None
    found = remake(arguments["path"], model=own.model, device=own.device, progress=voice.progress)
    told: Values = {"path": arguments["path"], "state": found.state, "reason": found.reason}
    told["distance"] = {"largest": found.distance[0], "mean": found.distance[1]} if found.distance else None
    if where and found.artwork is not None:
        path = where.path(found.artwork, label=f"{Path(arguments['path']).stem}-again")
        told["remake"] = str(found.artwork.save(path))
    voice.result(told, found.reason)
    return 1 if found.state == "impossible" else 0


def _modality_of(path: str) -> str:
    recipe = read_recipe(path) if Path(path).is_file() else None
    return recipe.modality if recipe else "image"


def _signature(own: Any, where: Places) -> Signature | None:
    """What files are signed with, opened before any work is made."""
    if own.sign is None and own.sign_key is None:
        return None
    if own.sign is None or own.sign_key is None:
        raise UsageError("--sign CERTIFICATE and --sign-key KEY belong together; give both")
    found = Signature.load(own.sign, own.sign_key)
    ending = where.ending or Path(where.output).suffix
    if ending:
        found.check(ending)
    return found


def _saved(
    works: Iterator[Artwork], where: Places, model: Model, own: Any, voice: Voice, signature: Signature | None, *, asked: int
) -> Iterator[Values]:
    for work in works:
        text = seed_text(work.seeds)
        # A grid or a walk holds all that was asked for: nothing is left to tell it apart from.
        extra = text if asked > len(work.seeds) else ""
        label = f"{model.name}-seed{'s' if len(work.seeds) > 1 else ''}{text}"
        path = work.save(where.path(work, label=label, extra=extra, model=model.name), recipe=own.recipe, sign=signature)
        voice.work([str(path)], work, own)
        yield {"path": str(path), "seeds": list(work.seeds)}


def _sheet(own: Options) -> tuple[int, int] | None:
    text = getattr(own, "grid", None)
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)[xX×](\d+)", text)
    columns, rows = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= columns * rows <= _LARGEST_SHEET:
        raise OptionError(f"--grid takes COLUMNSxROWS such as 4x2, at most {_LARGEST_SHEET} works, not {text}")
    return columns, rows


def _as_grid(works: list[Artwork], columns: int, rows: int, modality: str) -> Artwork:
    from msgspec.structs import replace

    pictures, clips = [work for work in works if isinstance(work, Image)], [work for work in works if isinstance(work, Video)]
    if works and len(pictures) == len(works):
        sheet: Artwork = grid(pictures, columns, rows)
    elif works and len(clips) == len(works) and modality == "video":  # the walk of a picture model is one film of all seeds
        sheet = moving_grid(clips, columns, rows)
    else:
        raise UsageError("--grid is for pictures; leave it out for moving ones")
    if works[0].recipe is not None:
        sheet.recipe = replace(works[0].recipe, seeds=sheet.seeds, layout=f"grid {columns}x{rows}")
    return sheet


def _save_comparison(source: str, work: Artwork, path: Path, detail: Any, signature: Signature | None) -> Path:
    from msgspec.structs import replace

    from artgen.remake import side_by_side

    if not isinstance(work, Image):
        raise UsageError("--compare is for pictures; leave it out")
    both = side_by_side(open_artwork(source), work)
    if work.recipe is not None:
        both.recipe = replace(work.recipe, layout="compare")
    return both.save(path.with_name(f"{path.stem}-compare{path.suffix}"), recipe=detail, sign=signature)


def _write_scores(folder: Path, told: dict[str, Values]) -> None:
    import msgspec

    from artgen.files import free_name, write_atomically

    write_atomically(free_name(folder / "scores.json"), msgspec.json.format(msgspec.json.encode(_plain(told)), indent=1))


def _plain(value: Any) -> Any:
    """``value`` for JSON, which has no not-a-number: a score that could not be measured is null."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if 10_000 <= abs(value) < 1e12 else f"{value:.4g}"  # 36000 seconds, not 3.6e+04


def _fact_lines(facts: Values) -> list[str]:
    lines = []
    for name, value in facts.items():
        if name == "skipped" and value:
            rows, rest = shortened([(item["file"], item["reason"]) for item in value], f"{facts['path']}/dataset.json")
            lines += [f"skipped: {len(value)}", *(f"  {file}: {reason}" for file, reason in rows), *([f"  {rest}"] if rest else [])]
        elif name == "remarks" and value:
            pairs = [item if isinstance(item, list | tuple) else ("", item) for item in value]  # of a dataset each has its file
            rows, rest = shortened(pairs, f"{facts['path']}/dataset.json")
            told = [f"{file}: {remark}" if file else remark for file, remark in rows] + ([rest] if rest else [])
            lines += [f"remarks: {told[0]}"] if len(told) == 1 else ["remarks:", *(f"  {each}" for each in told)]
        elif name == "bytes":
            lines.append(f"size: {bytes_text(value)}")
        elif name == "next" and isinstance(value, list):
            lines += [f"next: {step}" for step in value]
        elif isinstance(value, dict):
            lines += [f"{name}:", *(f"  {key}: {_flat(item)}" for key, item in value.items())] if value else []
        elif value not in (None, [], ""):
            lines.append(f"{name}: {_flat(value)}")
    return lines


def _summary_lines(found: Values) -> list[str]:
    lines = []
    for each in found["improved"]:
        best = f", the best {_number(each['best'])} at step {each['best_step']}" if "best_step" in each else ""
        lines.append(
            f"{each['name']}: {_number(each['first'])} at step {each['first_step']}, {_number(each['last'])} at the end{best}"
        )
    if found["steps"]:
        lines.append(f"seen: {found['items']} items in {found['steps']} steps, {duration(found['seconds'] or 0)}")
    if found["previews"]:
        lines.append(f"previews: {found['previews']} ({found['count']}){', ' + found['timelapse'] if found['timelapse'] else ''}")
    return [*lines, *(f"next: {step}" for step in found["next"])]


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.rstrip('_')} {_flat(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, list | tuple):
        return ", ".join(_flat(item) for item in value)
    return _number(value) if isinstance(value, float) else str(value)
