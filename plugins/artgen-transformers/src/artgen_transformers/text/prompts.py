"""What a model is given to read: a prompt as it is, with examples before it, or as a message in the model's chat format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from artgen.errors import SourceError, UsageError
from artgen.media.text import decode as read_file
from artgen_transformers.text.opening import Language
from artgen_transformers.text.options import Generate, Writing

_BETWEEN, _ANSWER = "---", "=>"


@dataclass(frozen=True)
class Start:
    """What a text begins with, the ids [1 or more] that the model reads, and stop texts besides those asked for.

    ``joined`` says that the text goes on where the ids end; an answer begins anew.
    """

    text: str
    ids: list[int]
    stop: tuple[str, ...] = ()
    joined: bool = True


class Shot(msgspec.Struct, frozen=True):
    """One example: an ``answer`` to a ``prompt``, or without a prompt a text that is like those wanted."""

    answer: str
    prompt: str | None = None


def prompts_of(options: Generate) -> list[str]:
    """The prompts that are asked for; one, unless they come from a file of several.

    Raises:
        SourceError: a file cannot be read, or holds no prompt.
    """
    if options.prompts is not None:
        lines = [line for line in read_file(Path(options.prompts)).splitlines() if line.strip()]
        if not lines:
            raise SourceError(f"{options.prompts}: no prompt in it; write one a line")
        return lines
    if options.prompt_file is not None:
        return [read_file(Path(options.prompt_file)).removesuffix("\n")]
    return [options.prompt or ""]


def shots_of(path: str | None) -> list[Shot]:
    """The examples in a file: JSON lines, or texts between lines of ``---``.

    Raises:
        SourceError: it cannot be read, or holds no example, or a line of JSON that is none.
    """
    if path is None:
        return []
    text = read_file(Path(path))
    found = _from_json(path, text) if Path(path).suffix == ".jsonl" else [_shot(part) for part in _parts(text, _BETWEEN)]
    if not found:
        raise SourceError(f"{path}: no example in it; write texts with a line of --- between them")
    if len({shot.prompt is None for shot in found}) > 1:
        raise SourceError(f"{path}: some examples have a line of => and some have none; write it in all of them or in none")
    return found


def start(language: Language, options: Generate, prompt: str, shots: Sequence[Shot]) -> Start:
    """What the model reads for ``prompt``.

    Raises:
        UsageError: the model has no chat format, or its format has no place for what is asked for.
    """
    if options.chat:
        return chat(language, options, prompt, shots)
    if not shots:
        ids = language.encode(prompt) if prompt else []
        return Start(prompt, ids or [language.opening])
    if shots[0].prompt is None:
        between = f"\n{_BETWEEN}\n"
        before = "".join(shot.answer + between for shot in shots)
        return Start(prompt, language.encode(before + prompt), (between,))
    return asked(language, prompt, shots)


def asked(language: Language, prompt: str, shots: Sequence[Shot]) -> Start:
    """A prompt to be answered by a model that has no chat format, after the examples of questions and answers."""
    between = f"\n{_BETWEEN}\n"
    before = "".join(f"{shot.prompt}\n{_ANSWER}\n{shot.answer}{between}" for shot in shots)
    return Start("", language.encode(f"{before}{prompt}\n{_ANSWER}\n"), (between,), joined=False)


def chat(language: Language, options: Writing, prompt: str, shots: Sequence[Shot], system: str | None = None) -> Start:
    """A message to the model in its own format, after the examples as messages before it.

    Raises:
        UsageError: the model has no such format, or the format refuses what is asked for.
    """
    if not has_chat(language):
        raise UsageError("this model has no chat format; leave --chat out, or choose a model made for chat (often named instruct)")
    if any(shot.prompt is None for shot in shots):
        raise SourceError(f"{options.shots}: examples for a chat have a question and an answer; write a line of => between them")
    told = options.system if options.system is not None else system
    messages = [{"role": "system", "content": told}] if told is not None else []
    for shot in shots:
        messages += [{"role": "user", "content": shot.prompt or ""}, {"role": "assistant", "content": shot.answer}]
    messages.append({"role": "user", "content": prompt})
    from jinja2 import TemplateError

    try:
        text = language.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=options.thinking
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise UsageError(f"the model's chat format does not take this ({error}); leave --system out, or --shots") from None
    return Start("", language.encode(text, special=False), joined=False)


def has_chat(language: Language) -> bool:
    """Whether the model comes with a chat format."""
    return bool(getattr(language.tokenizer, "chat_template", None))


def _from_json(path: str, text: str) -> list[Shot]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(msgspec.json.decode(line, type=Shot))
            except msgspec.DecodeError as error:
                raise SourceError(
                    f'{path}: line {number} is no example ({error}); write {{"prompt": "…", "answer": "…"}}'
                ) from None
    return found


def _shot(text: str) -> Shot:
    parts = _parts(text, _ANSWER)
    return Shot(parts[1], parts[0]) if len(parts) == 2 else Shot(text)


def _parts(text: str, between: str) -> list[str]:
    """The pieces of ``text`` between lines that hold nothing but ``between``, without blank lines around them."""
    pieces: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.strip() == between:
            pieces.append([])
        else:
            pieces[-1].append(line)
    return [piece for lines in pieces if (piece := "\n".join(lines).strip("\n"))]
