"""Which objects are a composite's children: kept, adopted, released or left alone. Pure."""

from enum import Enum

from devcluster.hookdriver.objects import (
    Object,
    controller_of,
    controller_reference,
    is_terminating,
    labels_of,
    metadata,
    uid_of,
    with_metadata,
)
from devcluster.hookdriver.selectors import Selector


class Claim(Enum):
    """What a parent does with an object it might own."""

    KEEP = "keep"
    ADOPT = "adopt"
    RELEASE = "release"
    IGNORE = "ignore"


def claim(parent: Object, child: Object, selector: Selector) -> Claim:
    """Decide by owner and labels; a parent that is being deleted neither adopts nor releases."""
    owner = controller_of(child)
    matches = selector.matches(labels_of(child))
    if owner is not None:
        if owner.get("uid") != uid_of(parent):
            return Claim.IGNORE
        if matches:
            return Claim.KEEP
        return Claim.IGNORE if is_terminating(parent) else Claim.RELEASE
    if is_terminating(parent) or is_terminating(child) or not matches:
        return Claim.IGNORE
    return Claim.ADOPT


def adopted(child: Object, parent: Object) -> Object:
    """Return the child with parent as its controller."""
    reference = controller_reference(parent)
    owners = list(metadata(child).get("ownerReferences") or [])
    others = [reference if owner.get("uid") == reference["uid"] else owner for owner in owners]
    if reference not in others:
        others.append(reference)
    return with_metadata(child, ownerReferences=others)


def released(child: Object, parent: Object) -> Object:
    """Return the child without parent among its owners."""
    owners = metadata(child).get("ownerReferences") or []
    return with_metadata(
        child, ownerReferences=[owner for owner in owners if owner.get("uid") != uid_of(parent)]
    )
