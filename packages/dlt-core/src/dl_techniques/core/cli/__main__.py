"""`python -m dl_techniques.core.cli`."""

from __future__ import annotations

import sys

from dl_techniques.core.cli import main

if __name__ == "__main__":
    sys.exit(main())
