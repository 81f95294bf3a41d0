"""``python -m app``: the operator's command line."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from app import fips, logs, settings
from app.serving import serve

if TYPE_CHECKING:
    from app.serving import Operator


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Parse the flags, say what is wrong with them, and serve."""
    chosen = settings.parse(arguments, environment)
    if fips.asked_for_as_in_go(environment):
        chosen = dataclasses.replace(chosen, enforce_fips140=True)
    logs.configure(chosen.log_level, chosen.log_format)
    if chosen.kubeconfig and not Path(chosen.kubeconfig).is_file():
        sys.exit(f"python -m app: --kubeconfig: there is no file {chosen.kubeconfig}")
    log = structlog.get_logger("app")
    for warning in chosen.warnings():
        log.warning("setting_without_effect", detail=warning)
    serve(chosen, _assemble)


def _assemble(chosen: settings.Settings) -> Operator:
    # Imported in the worker only: the arbiter needs none of it, and would hold its memory twice.
    from app.assembly import assemble

    if chosen.enforce_fips140:
        from app import fips_probe

        fips_probe.enforce()
    return assemble(chosen)


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
