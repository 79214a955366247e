"""Tiny randomly initialised models of the real classes, with tokenizers learned from a rhyme."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    DacConfig,
    DacModel,
    EncodecConfig,
    EncodecModel,
    GenerationConfig,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    MusicgenMelodyConfig,
    MusicgenMelodyDecoderConfig,
    MusicgenMelodyFeatureExtractor,
    MusicgenMelodyForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    T5Config,
)

from artgen import api
from artgen.dataset import Dataset

RHYME = (
    "Row, row, row your boat,\nGently down the stream.\nMerrily, merrily, merrily, merrily,\nLife is but a dream.\n"
    "Twinkle, twinkle, little star,\nHow I wonder what you are!\nUp above the world so high,\nLike a diamond in the sky.\n"
)
CHAT = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% if not enable_thinking %}<think></think>{% endif %}{% endif %}"
)
SIZE = 192
SIGNS = [*map(chr, range(0x21, 0x7F)), "Ġ", "Ċ"]  # printable ASCII, blank and line break, as byte pairs write them


def tokenizer(*, chat: bool = False, template: str = CHAT) -> Any:
    """Byte pairs with marks for the end of a text and for the parts of a chat."""
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE, special_tokens=["<|end|>", "<|start|>"], initial_alphabet=SIGNS, show_progress=False
    )
    engine.train_from_iterator([RHYME], trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=engine, eos_token="<|end|>", pad_token="<|end|>")
    if chat:
        made.chat_template = template
    return made


def config(kind: str, **changes: Any) -> Any:
    """The configuration of a tiny network of a real architecture."""
    common = {
        "vocab_size": SIZE, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 128, "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0,
    }  # fmt: skip
    if kind == "gpt2":
        return GPT2Config(**{"vocab_size": SIZE, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "bos_token_id": 0,
                             "eos_token_id": 0, "resid_pdrop": 0.1, **changes})  # fmt: skip
    if kind == "mamba":
        return MambaConfig(
            vocab_size=SIZE, hidden_size=32, num_hidden_layers=2, state_size=8, eos_token_id=0, pad_token_id=0, bos_token_id=0
        )
    kinds: dict[str, Any] = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}
    extra = {"head_dim": 8} if kind == "qwen3" else {}
    return kinds[kind](**{**common, **extra, **changes})


def causal(kind: str, folder: Path, *, chat: bool = False, seed: int = 0, licence: str = "", **changes: Any) -> Path:
    """Save a tiny language model whose logits are far enough apart to be told from one another."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = AutoModelForCausalLM.from_config(config(kind, **changes))
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.ndim == 2:
                    parameter.mul_(4)
    network.save_pretrained(folder)
    tokenizer(chat=chat).save_pretrained(folder)
    if licence:
        (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n", encoding="utf-8")
    return folder


def prepared(folder: Path) -> Dataset:
    """Rhymes of two documents, most of them to learn from."""
    for number in range(2):
        (folder / f"{number}.txt").write_text(RHYME * 4 + str(number), encoding="utf-8")
    return api.prepare("text", folder, folder / "set", held_out=0.3, tokenizer="bpe", vocabulary=300, duplicates="keep")


def codec_config(**changes: Any) -> EncodecConfig:
    """A tiny EnCodec: 100 frames a second of 1,600 Hz, so that seconds are cheap."""
    told = {
        "sampling_rate": 1600, "audio_channels": 1, "num_filters": 4, "hidden_size": 8, "upsampling_ratios": [4, 4],
        "codebook_size": 32, "codebook_dim": 8, "num_lstm_layers": 1, "num_residual_layers": 1, "target_bandwidths": [2.0],
        "normalize": False, "use_causal_conv": False, "kernel_size": 3, "last_kernel_size": 3,
    }  # fmt: skip
    return EncodecConfig(**{**told, **changes})


def fill_codebooks(codec: torch.nn.Module) -> None:
    """Entries that differ; an EnCodec that was never trained has zeros."""
    for name, tensor in codec.named_buffers():
        if name.endswith("codebook.embed"):
            tensor.normal_(std=0.5)


def musicgen(folder: Path, *, melody: bool = False, stereo: bool = False) -> Path:
    """Save a tiny MusicGen with four codebooks."""
    text = T5Config(vocab_size=SIZE, d_model=16, d_ff=32, d_kv=8, num_layers=1, num_heads=2)
    codec = codec_config()
    kind, whole, network = (
        (MusicgenMelodyDecoderConfig, MusicgenMelodyConfig, MusicgenMelodyForConditionalGeneration)
        if melody
        else (MusicgenDecoderConfig, MusicgenConfig, MusicgenForConditionalGeneration)
    )
    decoder = kind(
        vocab_size=32, hidden_size=32, ffn_dim=32, num_hidden_layers=2, num_attention_heads=4, num_codebooks=8 if stereo else 4,
        audio_channels=2 if stereo else 1, pad_token_id=32, bos_token_id=32, max_position_embeddings=200,
    )  # fmt: skip
    extra = {"num_chroma": 12, "chroma_length": 6} if melody else {}
    with torch.random.fork_rng():
        torch.manual_seed(4)
        config = whole(text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict(), **extra)
        made = network(config)
        with torch.no_grad():
            for parameter in made.decoder.parameters():
                if parameter.ndim == 2:
                    parameter.mul_(3)
            fill_codebooks(made.audio_encoder)
    made.generation_config = GenerationConfig(
        decoder_start_token_id=32, pad_token_id=32, bos_token_id=32, guidance_scale=3.0, do_sample=True, max_length=100
    )
    made.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    if melody:
        MusicgenMelodyFeatureExtractor(sampling_rate=1600, hop_length=64, n_fft=256).save_pretrained(folder)
    return folder


def codec(kind: str, folder: Path, **changes: Any) -> Path:
    """Save a tiny EnCodec of 16 kHz or DAC of 32 kHz, both with 100 frames a second."""
    with torch.random.fork_rng():
        torch.manual_seed(6)
        if kind == "dac":
            told = {"encoder_hidden_size": 4, "downsampling_ratios": [4, 5, 16], "decoder_hidden_size": 16, "n_codebooks": 4,
                    "codebook_size": 32, "codebook_dim": 4, "sampling_rate": 32_000}  # fmt: skip
            made: Any = DacModel(DacConfig(**{**told, **changes}))
            with torch.no_grad():
                for name, parameter in made.named_parameters():
                    if "codebook" in name or "decoder" in name:
                        parameter.mul_(3)
        else:
            made = EncodecModel(codec_config(**{"sampling_rate": 16_000, "upsampling_ratios": [16, 10], **changes}))
            fill_codebooks(made)
    made.save_pretrained(folder)
    return folder
