"""What diffusers and transformers do to a process, kept from it: bars, remarks, warnings and random numbers."""

from __future__ import annotations

import contextlib
import logging
import random
import warnings
from collections.abc import Iterator

import numpy as np
import torch

_NOWHERE = logging.NullHandler()


@contextlib.contextmanager
def borrowed(seed: int = 0) -> Iterator[None]:
    """Let the libraries work in silence; global random numbers come from ``seed`` inside and are as before afterwards."""
    from diffusers.utils import logging as diffusers_log
    from transformers.utils import logging as transformers_log

    bars = [(log, log._tqdm_active) for log in (diffusers_log, transformers_log)]
    loggers = [(logger, logger.handlers) for logger in map(logging.getLogger, ("diffusers", "transformers"))]
    states = random.getstate(), np.random.get_state()
    try:
        for log, _ in bars:
            log._tqdm_active = False  # enable_progress_bar() would also change huggingface_hub's
        for logger, _ in loggers:
            logger.handlers = [_NOWHERE]  # to set the level would make every logger of the process work its own out again
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would start CUDA's generators too
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for log, active in bars:
            log._tqdm_active = active
        for logger, handlers in loggers:
            logger.handlers = handlers
