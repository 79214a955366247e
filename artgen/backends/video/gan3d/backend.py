"""``video.gan3d``: a generative adversarial network of short clips."""

from __future__ import annotations

from typing import ClassVar

from artgen.backend import Backend


class Gan3d(Backend):
    """A style-modulated generator with space-time convolutions against a discriminator of clips and one of pictures."""

    modality: ClassVar[str] = "video"
    name: ClassVar[str] = "gan3d"
    summary: ClassVar[str] = "3D generative adversarial network: learns to make short clips from your clips, 32 to 128 pixels."
    source: ClassVar[str] = "Vondrick et al. 2016, 'Generating Videos with Scene Dynamics'; Huang et al. 2024, 'The GAN is dead'"
