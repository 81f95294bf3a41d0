"""Each vendor's package is used in one named place, so that it can be replaced there."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLACES = {
    "paho": ("app/agent/paho_client.py", "mothership/broker_client.py"),
    "kubernetes": ("app/cluster/", "devcluster/hookdriver/api.py"),
    "cryptography": ("app/agent/credentials.py", "app/fips_probe.py", "mothership/ca.py", "devcluster/"),
    "joserfc": ("protocol/sealing.py",),
    "jsonschema": ("protocol/schema.py",),
    "flask": ("app/web/", "app/assembly.py", "mothership/"),
    "sqlalchemy": ("mothership/",),
    "prometheus_client": ("app/metrics/",),
    "requests": ("launcher/api_client.py", "mothership/client.py"),
    "gunicorn": ("app/serving.py", "mothership/serve.py"),
}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("vendor", sorted(PLACES))
def test_a_vendors_package_is_imported_only_in_its_place(vendor: str) -> None:
    """An import anywhere else is a leak of the vendor's types."""
    packages = ("app", "protocol", "mothership", "launcher", "devcluster")
    importers = {
        path.relative_to(ROOT).as_posix()
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        if vendor in set(_imports(path))
    }
    assert importers
    assert [path for path in importers if not path.startswith(PLACES[vendor])] == []
