"""Run the command line with ``python -m artgen``; ``torchrun -m artgen`` starts several processes this way."""

from __future__ import annotations

import sys

from artgen.cli import main

if __name__ == "__main__":
    sys.exit(main())
