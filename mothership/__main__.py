"""Entry point of ``python -m mothership``."""

import sys

from mothership.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
