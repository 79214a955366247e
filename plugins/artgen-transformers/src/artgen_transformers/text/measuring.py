"""How well a model foresees held-out text, in bits per byte, and what it writes against that text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from artgen.backend import Backend, Progress, Score
from artgen.backends.text.transformer import evaluate as measures
from artgen.errors import UsageError
from artgen.model import Model
from artgen_transformers.text.corpus import held_out
from artgen_transformers.text.opening import open_language
from artgen_transformers.text.options import Evaluate

if TYPE_CHECKING:
    from artgen.dataset import Dataset

_LONGEST = 2048


def evaluate(backend: Backend, model: Model, dataset: Dataset, options: Evaluate, progress: Progress) -> dict[str, Score]:
    """The loss of the held-out text of ``dataset`` and the measures of written text that ``text.transformer`` has too.

    Raises:
        UsageError: the dataset holds out too little text.
    """
    open_language(model, options.loading, progress)
    scores = _losses(model, dataset, options, progress) if not options.metrics or "loss" in options.metrics else {}
    rest = tuple(name for name in (options.metrics or _WRITTEN) if name != "loss")
    if rest:
        asked = {option: getattr(options, option) for option in measures.Evaluate.__struct_fields__}
        scores |= measures.evaluate(backend, model, dataset, measures.Evaluate(**{**asked, "metrics": rest}), progress)
    return scores


_WRITTEN: tuple[measures.Name, ...] = ("distinct_1", "distinct_2", "distinct_3", "self_bleu", "longest_copy", "copied_20")


def _losses(model: Model, dataset: Dataset, options: Evaluate, progress: Progress) -> dict[str, Score]:
    import numpy as np

    from artgen_transformers.text.task import nats

    language = open_language(model, options.loading, progress)
    ids, characters, size = held_out(dataset, language.tokenizer, options.held_out)
    if not len(ids):
        raise UsageError(f"{dataset.folder}: holds out no text; prepare it with a larger --held-out")
    longest = language.context or _LONGEST
    if options.context is not None and options.context > longest and language.context:
        raise UsageError(f"--context takes at most {longest} for this model, not {options.context}")
    context = options.context or min(_LONGEST, longest)
    progress.start("reading the held-out text", len(ids), "tokens")
    try:
        # What opens a text stands before the first token, so that every token of the text is foreseen.
        whole = np.concatenate([[language.opening], ids])
        bits = nats(language.network, whole, context, progress.advance) / math.log(2)
    finally:
        progress.finish()
    protocol = f"artgen-loss@context={context}, {len(ids)} tokens of the model, windows side by side"
    byte = "Bits per byte (UTF-8) of the held-out text: how well the model foresees what it never read."
    character = "Bits per character of the held-out text."
    return {
        "bpb": Score(bits / size, None, "lower", byte, protocol),
        "bpc": Score(bits / characters, None, "lower", character, protocol),
    }
