"""A step of the images' builds: completes the bill of materials that cyclonedx-py wrote of the Python packages.

Python itself and the Debian packages of the image's root come in, and the image is named. Given the same, the output is
the same to the byte.
"""

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Read the bill from standard input, write the whole one to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the root of the image")
    parser.add_argument("--name", required=True, help="name of the image")
    parser.add_argument("--version", required=True, help="version of the image")
    chosen = parser.parse_args()
    bill: dict[str, Any] = json.load(sys.stdin)
    image = {
        "bom-ref": "image",
        "type": "container",
        "name": chosen.name,
        "version": chosen.version,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    bill.setdefault("metadata", {})["component"] = image
    components = [*bill.get("components", []), python_runtime(), *debian_packages(chosen.root)]
    bill["components"] = sorted(components, key=lambda component: component["bom-ref"])
    tree = [entry for entry in bill.get("dependencies", []) if entry["ref"] != "root-component"]
    bill["dependencies"] = [
        {"ref": "image", "dependsOn": [component["bom-ref"] for component in bill["components"]]},
        *tree,
    ]
    json.dump(bill, sys.stdout, indent=1, sort_keys=True)


def python_runtime() -> dict[str, Any]:
    """Return the component of the interpreter, which is the image's too."""
    version = platform.python_version()
    return {
        "bom-ref": f"python@{version}",
        "type": "platform",
        "name": "python",
        "version": version,
        "purl": f"pkg:generic/python@{version}",
        "licenses": [{"license": {"id": "Python-2.0.1"}}],
    }


def debian_packages(root: Path) -> list[dict[str, Any]]:
    """Return the components of what dpkg says is installed below the root."""
    status = (root / "var/lib/dpkg/status").read_text(encoding="utf-8")
    # The image's root and the stage that runs this have the same base.
    distribution = platform.freedesktop_os_release()["VERSION_CODENAME"]
    packages = [dict(_fields(paragraph)) for paragraph in status.strip().split("\n\n")]
    return [
        _debian(package, distribution) for package in packages if package["Status"].endswith(" installed")
    ]


def _fields(paragraph: str) -> list[tuple[str, str]]:
    lines = [line for line in paragraph.splitlines() if not line.startswith(" ")]
    return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def _debian(package: dict[str, str], distribution: str) -> dict[str, Any]:
    name, version, architecture = (package[field] for field in ("Package", "Version", "Architecture"))
    escaped = version.replace(":", "%3A").replace("+", "%2B")
    purl = f"pkg:deb/debian/{name.replace('+', '%2B')}@{escaped}?arch={architecture}&distro={distribution}"
    return {"bom-ref": purl, "type": "library", "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    main()
