"""How each family of text-to-image pipelines is conditioned, and what its network is trained to predict."""

# B batch, C channels of the latent picture, H and W its edges, T tokens, D width of the text encoder

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from artgen.errors import UsageError

Condition = dict[str, Tensor]


class Family:
    """A pipeline of the kind of Stable Diffusion 1 and 2: a U-Net, noise of a thousand steps, one text encoder."""

    part = "unet"
    flows = False

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.network: Any = getattr(pipeline, self.part)
        self.vae = pipeline.vae

    @torch.no_grad()
    def encode(self, caption: str, device: torch.device) -> Condition:
        """What the text encoders make of ``caption``: tensors [1, ...]."""
        words, _ = self.pipeline.encode_prompt(caption, device, 1, False)
        return {"words": words}

    @torch.no_grad()
    def latents(self, signal: Tensor, noise: Tensor) -> Tensor:
        """The latent picture [B, C, H, W] of ``signal`` [B, 3, ...]; ``noise`` [B, C, H, W] draws one of those it may be."""
        spread = self.vae.encode(signal.to(self.vae.dtype)).latent_dist
        drawn = spread.mean + spread.std * noise.to(spread.mean.dtype)
        shift = getattr(self.vae.config, "shift_factor", None) or 0.0
        found: Tensor = (drawn - shift) * self.vae.config.scaling_factor
        return found.float()

    def loss(self, latents: Tensor, noise: Tensor, level: Tensor, condition: Condition) -> Tensor:
        """The mean square that the network misses; ``level`` [B] in 0..1 says how noisy, ``noise`` [B, C, H, W] with what."""
        scheduler = self.pipeline.scheduler
        steps = (level * scheduler.config.num_train_timesteps).long()
        noisy = scheduler.add_noise(latents, noise, steps)
        kind = scheduler.config.prediction_type
        target = noise if kind == "epsilon" else latents if kind == "sample" else scheduler.get_velocity(latents, noise, steps)
        found = self.predict(noisy, steps, condition)
        return F.mse_loss(found.float(), target.float())

    def predict(self, noisy: Tensor, steps: Tensor, condition: Condition) -> Tensor:
        """The network's word for ``noisy`` [B, C, H, W] at ``steps`` [B]."""
        found: Tensor = self.network(noisy, steps, encoder_hidden_states=condition["words"]).sample
        return found


class Xl(Family):
    """Stable Diffusion XL: two text encoders, and the size of the picture as a condition."""

    @torch.no_grad()
    def encode(self, caption: str, device: torch.device) -> Condition:
        """Tokens and the whole caption."""
        words, _, whole, _ = self.pipeline.encode_prompt(caption, device=device, do_classifier_free_guidance=False)
        return {"words": words, "whole": whole}

    def predict(self, noisy: Tensor, steps: Tensor, condition: Condition) -> Tensor:
        """As above; the picture was neither scaled nor cut."""
        height, width = (edge * self.pipeline.vae_scale_factor for edge in noisy.shape[-2:])
        sizes = torch.tensor([[height, width, 0, 0, height, width]], device=noisy.device).expand(len(noisy), -1)
        more = {"text_embeds": condition["whole"], "time_ids": sizes}
        found: Tensor = self.network(noisy, steps, encoder_hidden_states=condition["words"], added_cond_kwargs=more).sample
        return found


class Sd3(Family):
    """Stable Diffusion 3: a Transformer that predicts the flow from picture to noise (Esser et al. 2024)."""

    part = "transformer"
    flows = True

    @torch.no_grad()
    def encode(self, caption: str, device: torch.device) -> Condition:
        """Tokens and the whole caption."""
        words, _, whole, _ = self.pipeline.encode_prompt(caption, None, None, device=device, do_classifier_free_guidance=False)
        return {"words": words, "whole": whole}

    def loss(self, latents: Tensor, noise: Tensor, level: Tensor, condition: Condition) -> Tensor:
        """Levels in the middle are learned from most: a normal number through the logistic function."""
        sigma = level.clamp(1e-4, 1 - 1e-4).mul(2).sub(1).erfinv().mul(2**0.5).sigmoid()
        mixed = sigma[:, None, None, None]
        return self.missed((1 - mixed) * latents + mixed * noise, sigma, noise - latents, condition)

    def missed(self, noisy: Tensor, sigma: Tensor, flow: Tensor, condition: Condition) -> Tensor:
        """The mean square that the network misses of ``flow`` [B, C, H, W]."""
        words, whole = condition["words"], condition["whole"]
        found = self.network(
            hidden_states=noisy, timestep=sigma * 1000, encoder_hidden_states=words, pooled_projections=whole
        ).sample
        return F.mse_loss(found.float(), flow)


class Flux(Sd3):
    """FLUX.1: like Stable Diffusion 3, on latent pictures packed two by two, its guidance an input."""

    @torch.no_grad()
    def encode(self, caption: str, device: torch.device) -> Condition:
        """Tokens and the whole caption."""
        words, whole, _ = self.pipeline.encode_prompt(caption, None, device=device)
        return {"words": words, "whole": whole}

    def missed(self, noisy: Tensor, sigma: Tensor, flow: Tensor, condition: Condition) -> Tensor:
        """As above, packed."""
        pipeline, (count, channels, height, width) = self.pipeline, noisy.shape
        places = pipeline._prepare_latent_image_ids(count, height // 2, width // 2, noisy.device, noisy.dtype)
        words = condition["words"]
        text_places = torch.zeros(words.shape[1], 3, device=noisy.device, dtype=noisy.dtype)
        guidance = torch.ones(count, device=noisy.device) if self.network.config.guidance_embeds else None
        found = self.network(
            hidden_states=pipeline._pack_latents(noisy, count, channels, height, width), timestep=sigma, guidance=guidance,
            pooled_projections=condition["whole"], encoder_hidden_states=words, txt_ids=text_places, img_ids=places,
        ).sample  # fmt: skip
        return F.mse_loss(found.float(), pipeline._pack_latents(flow, count, channels, height, width))


FAMILIES: dict[str, type[Family]] = {
    "StableDiffusionPipeline": Family,
    "StableDiffusionXLPipeline": Xl,
    "StableDiffusion3Pipeline": Sd3,
    "FluxPipeline": Flux,
}


def family_of(pipeline: Any) -> Family:
    """The family of ``pipeline``.

    Raises:
        UsageError: LoRA training is not there for it.
    """
    kind = type(pipeline).__name__
    if kind not in FAMILIES:
        raise UsageError(f"--model: a LoRA can be trained for {', '.join(FAMILIES)}, not for {kind}; choose another model")
    return FAMILIES[kind](pipeline)
