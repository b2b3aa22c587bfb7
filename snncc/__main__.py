"""``python -m snncc`` is ``snncc``."""

import sys

from snncc.cli import main

if __name__ == "__main__":
    sys.exit(main())
