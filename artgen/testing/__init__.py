"""The conformance kit: what a plugin author runs on a backend, and what artgen runs on its own.

Three lines are a whole test file::

    from artgen.testing import conformance
    from artgen_dots import Dots

    test_contract = conformance(Dots)

:func:`check_backend` gives the same findings as a list, and ``artgen plugin check NAME`` as a table. The kit makes its own tiny
data, needs no network, and imports pytest only for :func:`conformance`.
"""

from __future__ import annotations

from artgen.testing.items import conformance
from artgen.testing.kit import CHECKS, check_backend
from artgen.testing.verdict import Check

__all__ = ["CHECKS", "Check", "check_backend", "conformance"]
