"""The command line: ``artgen MODALITY VERB``, and exit codes that mean something."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from artgen.errors import ArtgenError, Interrupted

if TYPE_CHECKING:
    from artgen.cli.scan import Scan

INTERRUPTED = 130


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failure, 2 usage, 130 interrupted."""
    from artgen.cli.scan import COMPLETE, scan, words_to_complete

    typed = list(sys.argv[1:] if words is None else words)
    if COMPLETE in os.environ:
        from artgen.cli.completion import unsplit

        unsplit()
    seen = scan(words_to_complete() if COMPLETE in os.environ else typed)
    try:
        return _run(typed, seen)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED, seen)
    except BrokenPipeError:
        # The reader has gone (artgen … | head); what Python still flushes at its end must find a place.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the last place where one can become a sentence
        if seen.debug:
            raise
        return _explain(error, seen)


def _run(typed: list[str], seen: Scan) -> int:
    import typer

    from artgen.cli.app import build

    if seen.completion and len(typed) == 2 and typed[0].endswith("-completion"):
        return _for_shell(*typed)
    try:
        result = build(seen)(typed, prog_name="artgen", complete_var="_ARTGEN_COMPLETE", standalone_mode=False)
    except typer.Abort:
        return _fail("interrupted", INTERRUPTED, seen)
    if result == INTERRUPTED:  # what Typer makes of Ctrl-C
        return _fail("interrupted", INTERRUPTED, seen)
    return result if isinstance(result, int) else 0


def _for_shell(flag: str, shell: str) -> int:
    """``--show-completion fish`` typed in another shell."""
    from artgen.cli.completion import SHELLS, script
    from artgen.errors import UsageError
    from artgen.options import nearest

    if shell not in SHELLS:
        raise UsageError(f"{flag} knows {', '.join(SHELLS)}, not {shell}{nearest(shell, SHELLS)}")
    if flag != "--show-completion":
        advice = f"leave {shell} out, or keep what artgen --show-completion {shell} prints"
        raise UsageError(f"{flag} is for the shell it is typed in: {advice}")
    print(script(shell))
    return 0


def _explain(error: Exception, seen: Scan) -> int:
    if isinstance(error, Interrupted):
        return _fail(str(error), INTERRUPTED, seen)
    if isinstance(error, ArtgenError):
        return _fail(str(error), error.exit_code, seen)
    if hasattr(error, "format_message"):  # a mistake that Typer found; its classes are not public
        from artgen.cli import mistakes

        return _fail(mistakes.sentence(error, seen), int(getattr(error, "exit_code", 2)), seen)
    text = str(error).strip().partition("\n")[0]
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return _fail(f"{what}; run again with --debug for the traceback", 1, seen)


def _fail(sentence: str, code: int, seen: Scan) -> int:
    if seen.json:
        import json

        print(json.dumps({"error": sentence, "exit_code": code}, ensure_ascii=False), flush=True)
    else:
        print(sentence if sentence.startswith("Usage:") else f"artgen: {sentence}", file=sys.stderr, flush=True)
    return code
