"""What ``text.transformers`` can be asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from artgen.backend import TrainOptions
from artgen.backends.text.transformer import evaluate as measures
from artgen.errors import OptionError, UsageError
from artgen.options import Meta, Options
from artgen_transformers.loading import DType, Loading, Offload, Quantise


class Writing(Loading, frozen=True, kw_only=True):
    """Options of everything that writes text: how tokens are chosen, and how the model is spoken to."""

    temperature: Annotated[
        float, Meta(ge=0, le=10, description="Daring: 0 always takes the likeliest, 1 writes as the model learned.")
    ] = 0.8
    top_k: Annotated[int, Meta(ge=0, description="Choose among this many likeliest tokens only; 0 for all.")] = 0
    top_p: Annotated[
        float, Meta(gt=0, le=1, description="Choose among the likeliest tokens that together have this probability.")
    ] = 0.95
    min_p: Annotated[
        float, Meta(ge=0, le=1, description="Drop tokens that are less likely than this share of the likeliest one.")
    ] = 0.0
    repetition_penalty: Annotated[
        float, Meta(ge=1, le=10, description="Make tokens that stand in the text already less likely; 1 leaves them.")
    ] = 1.0
    stop: Annotated[
        tuple[str, ...], Meta(description="End before this text; may be given several times. The text itself is left out.")
    ] = ()
    system: Annotated[
        str | None, Meta(description="What the model is told of its part before a chat begins: 'You are a poet.'")
    ] = None
    shots: Annotated[
        str | None,
        Meta(
            description="File with examples to follow: texts between lines of ---, or questions and answers with a line of => "
            "between them; .jsonl with prompt and answer works too.",
            extra={"file": True},
        ),
    ] = None
    thinking: Annotated[bool, Meta(description="Let a model that can think first do so.")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if "" in self.stop:
            raise OptionError("--stop takes text of one character or more, not nothing")


class Generate(Writing, frozen=True, kw_only=True):
    """Options of ``generate``."""

    prompt: Annotated[
        str | None, Meta(description="What the text begins with, or with --chat what you say.", extra={"short": "-p"})
    ] = None
    prompt_file: Annotated[
        str | None,
        Meta(description="File with the prompt (without its last line break); - is standard input.", extra={"file": True}),
    ] = None
    prompts: Annotated[
        str | None, Meta(description="File with a prompt a line: one text for each, with every seed.", extra={"file": True})
    ] = None
    chat: Annotated[bool, Meta(description="Talk to the model in its own chat format; the text is its answer.")] = False
    length: Annotated[
        int, Meta(ge=1, le=10_000_000, description="How much to write after the prompt, at most.", extra={"unit": "tokens"})
    ] = 400
    batch_size: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="Texts written at once, each in a place that its seed fixes: faster, above all on a GPU, and the same "
            "for any --count.",
            extra={"unit": "texts"},
        ),
    ] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name in ("prompt", "prompt_file", "prompts") if getattr(self, name) is not None]
        if len(given) > 1:
            flags = " and ".join("--" + name.replace("_", "-") for name in given)
            raise UsageError(f"{flags} all say how the text begins; give one of them")
        if self.system is not None and not self.chat:
            raise OptionError("--system says what the model's part in a chat is; give --chat too")
        if self.chat and not given:
            raise UsageError("--chat needs something to answer; give --prompt, --prompt-file or --prompts")


class Modify(Writing, frozen=True, kw_only=True):
    """Options of ``modify``: ``instruction`` or ``continue`` says what is done."""

    instruction: Annotated[
        str | None, Meta(description="What to do with the text, in words: 'Make it rhyme.'", extra={"short": "-i"})
    ] = None
    continue_: Annotated[
        int | None, Meta(ge=1, le=10_000_000, description="Go on with the text for this long.", extra={"unit": "tokens"})
    ] = None
    length: Annotated[
        int | None,
        Meta(
            ge=1,
            le=100_000,
            description="Longest answer to --instruction; twice the text when not given.",
            extra={"unit": "tokens"},
        ),
    ] = None

    @property
    def way(self) -> Literal["instruction", "continue"]:
        """What is done.

        Raises:
            UsageError: nothing is asked for, or both.
        """
        if self.instruction is None and self.continue_ is None:
            raise UsageError('say what to do with the text: --instruction "…" or --continue N')
        if self.instruction is not None and self.continue_ is not None:
            raise UsageError("--instruction and --continue contradict each other; give one of them")
        return "instruction" if self.instruction is not None else "continue"


class Evaluate(measures.Evaluate, frozen=True, kw_only=True):
    """Options of ``evaluate``: those of text.transformer, and how the model is loaded."""

    context: Annotated[
        int | None,
        Meta(
            ge=2,
            le=10_000_000,
            description="Tokens a prediction may look back on; what the model can, at most 2048, when not given.",
            extra={"unit": "tokens"},
        ),
    ] = None
    held_out: Annotated[
        int | None,
        Meta(
            ge=2,
            description="Read only the beginning of the held-out text; all of it when not given.",
            extra={"unit": "characters"},
        ),
    ] = None
    dtype: Annotated[DType, Meta(description="Number format of the weights, as in generate.")] = "auto"
    offload: Annotated[Offload, Meta(description="Where weights go that do not fit, as in generate.")] = "none"
    quantise: Annotated[Quantise, Meta(description="Compress the weights while loading, as in generate.")] = "none"
    commercial_only: Annotated[bool, Meta(description="Refuse a model whose licence does not allow commercial use.")] = False

    @property
    def loading(self) -> Loading:
        """How the model is loaded."""
        names = ("dtype", "offload", "quantise", "commercial_only")
        return Loading(**{name: getattr(self, name) for name in names})


class Train(TrainOptions, frozen=True, kw_only=True):
    """Options of ``train``: fine-tuning of a model that is there."""

    from_: Annotated[str, Meta(description="The model to begin with: a folder, a run, or a name on the Hub.")]
    method: Annotated[
        Literal["lora", "full"],
        Meta(description="lora learns small matrices beside the weights, which stay as they are; full moves every weight."),
    ] = "lora"
    rank: Annotated[int, Meta(ge=1, le=4096, description="Rank of the matrices of --method lora.")] = 16
    alpha: Annotated[
        float | None, Meta(gt=0, le=65536, description="Weight of what lora learns, over the rank; twice the rank when not given.")
    ] = None
    targets: Annotated[
        tuple[str, ...],
        Meta(description="Parts of the network that lora goes beside, such as q_proj; all matrices when not given."),
    ] = ()
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Share of what goes into lora's matrices left out while learning.")] = (
        0.0
    )
    batch_size: Annotated[
        int, Meta(ge=1, le=65536, description="Windows per step, over all processes.", extra={"unit": "items"})
    ] = 8
    context: Annotated[int, Meta(ge=8, le=1_000_000, description="Tokens of a window to learn from.", extra={"unit": "tokens"})] = (
        256
    )
    learning_rate: Annotated[
        float | None, Meta(gt=0, le=1, description="Learning rate at its highest; 2e-4 for lora and 2e-5 for full when not given.")
    ] = None
    weight_decay: Annotated[float, Meta(ge=0, le=10, description="Pull of matrices towards zero.")] = 0.0
    checkpointing: Annotated[
        bool, Meta(description="Compute activations twice instead of keeping them: a third slower, far less memory.")
    ] = False
    dtype: Annotated[DType, Meta(description="Number format of the weights that stay as they are (lora); auto is fp32.")] = "auto"
    quantise: Annotated[Quantise, Meta(description="Compress the weights that stay as they are (lora).")] = "none"
    commercial_only: Annotated[bool, Meta(description="Refuse a model whose licence does not allow commercial use.")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method == "full":
            for name in ("dtype", "quantise"):
                if (value := getattr(self, name)) not in ("auto", "fp32", "none"):
                    raise OptionError(f"--{name} {value} is for weights that stay as they are; give --method lora, or leave it out")

    @property
    def loading(self) -> Loading:
        """How the model to begin with is loaded."""
        dtype: DType = "fp32" if self.dtype == "auto" else self.dtype
        return Loading(dtype=dtype, quantise=self.quantise, commercial_only=self.commercial_only)

    @property
    def rate(self) -> float:
        """The learning rate at its highest."""
        return self.learning_rate or (2e-4 if self.method == "lora" else 2e-5)


__all__ = ["Evaluate", "Generate", "Modify", "Options", "Train", "Writing"]
