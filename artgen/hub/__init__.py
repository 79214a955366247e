"""Models of other programs, in a folder or on the Hugging Face Hub, for every backend that takes them.

::

    model = find("owner/name", "image.diffusers")  # asks what there is; nothing is loaded, no large file fetched
    model.choose(("unet", "vae", "text_encoder"))  # says which folders of it are needed; pickles are refused here
    model.accept(progress, commercial_only=False)  # shows the licence, once
    require_memory(model.bytes, "cpu", model.name, "give --dtype bf16")
    folder = model.fetch(progress)  # downloads what is not on this disk yet
"""

from __future__ import annotations

from artgen.hub.memory import free_memory, require_memory
from artgen.hub.models import HubModel, find

__all__ = ["HubModel", "find", "free_memory", "require_memory"]
