"""``python -m astromodal`` is the command ``astromodal``."""

import sys

from astromodal.cli import main

if __name__ == "__main__":
    sys.exit(main())
