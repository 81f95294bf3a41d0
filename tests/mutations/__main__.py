"""Write the table of docs/fences.md: `python -m tests.mutations`; the exit status is 1 when nothing catches a fence."""

import logging
import sys

import structlog

from tests.mutations.table import write

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
uncaught = write()
print("\n".join(uncaught) or "every fence is caught")
sys.exit(1 if uncaught else 0)
