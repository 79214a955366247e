"""Real pipelines of diffusers with random weights, small enough for a test, saved as their authors save them: one function each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    StableDiffusionUpscalePipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

CARD = "---\nlicense: {licence}\n---\n# A tiny model with random weights\n"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def clip_tokenizer(length: int = 16) -> CLIPTokenizer:
    """A tokenizer of single letters."""
    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=length)


def clip_text(width: int = 16, projection: int | None = None) -> Any:
    config = CLIPTextConfig(
        vocab_size=64, hidden_size=width, intermediate_size=width * 2, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, projection_dim=projection or width, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    return CLIPTextModelWithProjection(config) if projection else CLIPTextModel(config)


def t5_tokenizer() -> T5Tokenizer:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=16)


def t5_text(width: int = 16) -> T5EncoderModel:
    config = T5Config(vocab_size=32, d_model=width, d_kv=8, d_ff=width, num_layers=1, num_heads=2)
    return T5EncoderModel(config)


def vae(latents: int = 4, **more: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8), in_channels=3, out_channels=3, latent_channels=latents, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4, sample_size=32,
        **more,
    )  # fmt: skip


def unet(**more: Any) -> UNet2DConditionModel:
    facts: dict[str, Any] = {
        "sample_size": 16, "block_out_channels": (8, 16), "layers_per_block": 1, "in_channels": 4, "out_channels": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 16, "attention_head_dim": 8, "norm_num_groups": 4,
    }  # fmt: skip
    return UNet2DConditionModel(**{**facts, **more})


def noise(**more: Any) -> DDIMScheduler:
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return DDIMScheduler(**betas, clip_sample=False, set_alpha_to_one=False, steps_offset=1, **more)


def sd(prediction: str = "epsilon", channels: int = 4) -> StableDiffusionPipeline:
    """Stable Diffusion 1 (or, with ``v_prediction``, 2)."""
    torch.manual_seed(0)
    return StableDiffusionPipeline(
        vae=vae(), text_encoder=clip_text(), tokenizer=clip_tokenizer(), unet=unet(in_channels=channels),
        scheduler=noise(prediction_type=prediction), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sd2() -> StableDiffusionPipeline:
    return sd("v_prediction")


def sdxl() -> StableDiffusionXLPipeline:
    torch.manual_seed(0)
    return StableDiffusionXLPipeline(
        vae=vae(), text_encoder=clip_text(), text_encoder_2=clip_text(16, 16), tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(), scheduler=noise(),
        unet=unet(
            addition_embed_type="text_time", addition_time_embed_dim=4, transformer_layers_per_block=(1, 1),
            projection_class_embeddings_input_dim=16 + 6 * 4, cross_attention_dim=32, use_linear_projection=True,
        ),
    )  # fmt: skip


def sd3() -> StableDiffusion3Pipeline:
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=16, patch_size=1, in_channels=16, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=32, out_channels=16,
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae(16, shift_factor=0.06),
        text_encoder=clip_text(16, 16), tokenizer=clip_tokenizer(), text_encoder_2=clip_text(16, 16), tokenizer_2=clip_tokenizer(),
        text_encoder_3=t5_text(32), tokenizer_3=t5_tokenizer(),
    )  # fmt: skip


def flux() -> FluxPipeline:
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=16, axes_dims_rope=[4, 4, 8], guidance_embeds=True,
    )  # fmt: skip
    return FluxPipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae(latents=1, shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False), text_encoder=clip_text(),
        tokenizer=clip_tokenizer(), text_encoder_2=t5_text(32), tokenizer_2=t5_tokenizer(),
    )  # fmt: skip


def pixart() -> PixArtAlphaPipeline:
    torch.manual_seed(0)
    transformer = PixArtTransformer2DModel(
        sample_size=16, num_layers=1, patch_size=2, attention_head_dim=8, num_attention_heads=2, caption_channels=16, in_channels=4,
        cross_attention_dim=16, out_channels=8, attention_bias=True, norm_type="ada_norm_single", num_embeds_ada_norm=1000,
        norm_elementwise_affine=False, norm_eps=1e-6, use_additional_conditions=False,
    )  # fmt: skip
    return PixArtAlphaPipeline(
        transformer=transformer, vae=vae(), scheduler=noise(), text_encoder=t5_text(16), tokenizer=t5_tokenizer()
    )


def ddpm() -> DDPMPipeline:
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=16, block_out_channels=(8, 16), layers_per_block=1, down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"), norm_num_groups=4, attention_head_dim=8,
    )  # fmt: skip
    return DDPMPipeline(unet=network, scheduler=DDPMScheduler())


def pix2pix() -> StableDiffusionInstructPix2PixPipeline:
    """Instruction editing: the picture is four more channels of the network's input."""
    parts = {name: part for name, part in sd(channels=8).components.items() if name != "image_encoder"}
    return StableDiffusionInstructPix2PixPipeline(**parts, requires_safety_checker=False)


def upscaler() -> StableDiffusionUpscalePipeline:
    """A picture of four times the size: the small one is three more channels of the network's input."""
    torch.manual_seed(0)
    return StableDiffusionUpscalePipeline(
        vae=vae(scaling_factor=0.08333), text_encoder=clip_text(), tokenizer=clip_tokenizer(),
        unet=unet(in_channels=7, num_class_embeds=1000), low_res_scheduler=DDPMScheduler(), scheduler=noise(), max_noise_level=350,
    )  # fmt: skip


PICTURES = {
    "sd": sd, "sd2": sd2, "sdxl": sdxl, "sd3": sd3, "flux": flux, "pixart": pixart, "ddpm": ddpm, "pix2pix": pix2pix,
    "upscaler": upscaler,
}  # fmt: skip


def saved(pipeline: Any, folder: Path, licence: str = "creativeml-openrail-m") -> Path:
    """``pipeline`` as its authors would publish it: safetensors, JSON and a card."""
    pipeline.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").write_text(CARD.format(licence=licence))
    return folder
