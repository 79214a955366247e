"""What diffusers and transformers do to a process, kept from it: bars, remarks, warnings and random numbers."""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def borrowed(seed: int = 0) -> Iterator[None]:
    """Let the libraries work in silence; global random numbers come from ``seed`` inside and are as before afterwards."""
    from diffusers.utils import logging as diffusers_log
    from transformers.utils import logging as transformers_log

    kept = [(log, log.get_verbosity(), log._tqdm_active) for log in (diffusers_log, transformers_log)]
    states = random.getstate(), np.random.get_state()
    try:
        for log, _, _ in kept:
            log.set_verbosity_error()
            log._tqdm_active = False  # enable_progress_bar() would also change huggingface_hub's
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for log, verbosity, active in kept:
            log.set_verbosity(verbosity)
            log._tqdm_active = active
