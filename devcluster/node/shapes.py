"""Names for the shapes that pass between the node's modules; no behaviour."""

from typing import Any, TypeAlias

# Objects of the Kubernetes API travel as the JSON they arrived in: the node reads few of their fields and must
# pass on those that it doesn't know.
Json: TypeAlias = dict[str, Any]
