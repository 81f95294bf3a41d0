"""Carrying out a plan: the writes of children, in order, and which refusals don't matter."""

import structlog

from devcluster.hookdriver.api import Api, Discovery
from devcluster.hookdriver.children import Operation, Plan, Verb
from devcluster.hookdriver.errors import AlreadyExists, ConfigError, Conflict, NotFound, SyncError
from devcluster.hookdriver.objects import Object, describe, namespace_of, uid_of

log = structlog.get_logger(component="children")


def carry_out(plan: Plan, parent: Object, api: Api, discovery: Discovery) -> None:
    """Do every write; failures are gathered, so that one bad child doesn't hold up the others."""
    errors = list(plan.errors)
    for operation in plan.operations:
        try:
            _write(operation, api, discovery)
            log.info(operation.verb.value, parent=describe(parent), child=describe(operation.child))
        except (SyncError, ConfigError) as error:
            errors.append(f"can't {operation.verb.value} {describe(operation.child)}: {error}")
    if errors:
        text = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
        raise SyncError(f"can't reconcile children for {describe(parent)}: {text}")


def _write(operation: Operation, api: Api, discovery: Discovery) -> None:
    resource, child = discovery.by_kind(operation.kind), operation.child
    match operation.verb:
        case Verb.CREATE:
            try:
                api.create(resource.path(namespace_of(child)), child)
            except AlreadyExists:
                # The cache is behind: another sync made it, or it isn't ours. Never an error.
                log.info("exists already", child=describe(child))
        case Verb.UPDATE:
            try:
                api.update(resource.path_of(child), child)
            except (NotFound, Conflict):
                log.info("changed meanwhile", child=describe(child))
        case Verb.DELETE:
            options = {"preconditions": {"uid": uid_of(child)}, "propagationPolicy": "Background"}
            try:
                api.delete(resource.path_of(child), options)
            except NotFound:
                log.info("gone already", child=describe(child))
