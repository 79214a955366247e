"""Trained networks, opened to make works: the modules with their weights, and the classes they know."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from artgen.backend import Backend
from artgen.errors import ModelError, OptionError
from artgen.model import Model
from artgen.options import nearest
from artgen.training.precision import Choice


def open_networks(model: Model, backend: Backend) -> nn.ModuleDict:
    """The networks of ``model`` as ``backend`` builds them, with its weights, in evaluation mode, channels last.

    Raises:
        ModelError: the weights are not those of the network that config.json describes.
    """
    # The weights come from the file. Building on the meta device would save their first values, a few milliseconds,
    # but makes torch import its compiler, which takes longer than importing torch itself.
    with torch.random.fork_rng(devices=[]):
        modules = backend.build(model.config.network)
    weights = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in model.tensors().items()}
    try:
        modules.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(f"{model.folder}: config.json and weights do not belong together ({reason})") from None
    assert isinstance(modules, nn.ModuleDict)
    modules = modules.eval().requires_grad_(False).to(model.device)
    Choice("fp32", "channels-last").place(modules)
    return modules


def class_number(wanted: str | None, classes: Sequence[str], conditional: bool) -> int | None:
    """The number of the class that ``--class`` names.

    Raises:
        OptionError: the model has no such class, or none at all.
    """
    if wanted is None:
        return None
    if not conditional:
        raise OptionError(f"--class {wanted}: this model was trained without classes; leave --class out")
    if wanted in classes:
        return list(classes).index(wanted)
    if wanted.isdigit() and int(wanted) < len(classes):
        return int(wanted)
    known, hint = ", ".join(classes), nearest(wanted, classes)
    raise OptionError(f"--class takes a name or 0 to {len(classes) - 1}, not {wanted}{hint}; known: {known}")
