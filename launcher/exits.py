"""Exit codes of the launcher's containers, for people who look at a Pod; the one place where they are listed.

The executor passes a failed command's own code on, so 17 and up may also be a command's. The JSON in the container's
termination message says which it was; machines read that.
"""

from enum import IntEnum


class Exit(IntEnum):
    """Why a container of the launcher ended."""

    OK = 0
    """`init`: the workspace is ready. `grpc-server`: log and result were delivered. `worker`: every command succeeded."""

    MISCONFIGURED = 2
    """`init`, `grpc-server`: environment or credentials are missing or wrong."""

    INIT_FAILED = 16
    """`init`: no grant within the deadline, or the workspace could not be prepared."""

    REFUSED = 17
    """`init`: the mothership refused the start; nothing was touched."""

    ALREADY_STARTED = 18
    """`init`, `worker`: this Pod has started the run before; it is never executed twice."""

    LEASE_LOST = 19
    """Any: the lease was lost, or the mothership has closed the attempt."""

    NOT_DELIVERED = 20
    """`grpc-server`: the run ended, but the mothership could not be told."""

    CANNOT_RUN = 21
    """`worker`: the image or the workspace lacks what the executor needs."""

    TERMINATED = 143
    """Any: told to terminate (128 + SIGTERM), or the run was stopped on request."""
