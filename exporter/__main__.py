"""Entry point of ``python -m exporter``, which images call ``spacelift-promex``."""

import os
import sys

from exporter.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
