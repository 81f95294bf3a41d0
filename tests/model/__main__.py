"""``python -m tests.model``: the big searches (``--fast`` for the small ones), with their bounds and figures.

Ends with status 1 when something is violated, with the shortest trace.
"""

import argparse
import logging
import sys

import structlog

from tests.model.bounds import BIG, FAST


def main() -> int:
    """Search; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--fast", action="store_true", help="the small searches instead of the big ones")
    parser.add_argument("--only", default="", help="a part of a search's name")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the random walks; the same seed walks the same ways"
    )
    parser.add_argument("--most-states", type=int, default=4_000_000, help="states of one search at most")
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    bad = 0
    for search in FAST if chosen.fast else BIG:
        if chosen.only not in search.name:
            continue
        print(f"{search.name} ({search.in_words()})", flush=True)
        report = search.run(seed=chosen.seed, most_states=chosen.most_states)
        print(f"    {report.summary()}", flush=True)
        if not report.holds:
            bad += 1
            print(report.details(), flush=True)
    print(f"model: {bad} searches found something" if bad else "model: everything holds")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
