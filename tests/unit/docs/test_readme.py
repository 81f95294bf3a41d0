"""The README's section on installing is complete, and the script that a real node is given is all of it."""

import re
import subprocess

from tests.node import readme
from tests.unit.docs.shell import shell_blocks
from tests.unit.manifests.test_manifests import documents

STEPS = (
    *("manifests/metacontroller", "manifests/install.yaml", "ca init", "broker-config", "mosquitto -c"),
    *("mothership serve", "openssl req", "pool create", "create secret", "kubectl apply -f"),
    *("kubectl wait --for=condition=Ready", "run trigger", "--follow"),
)


def test_every_step_is_there_in_its_order() -> None:
    """From Metacontroller to the run's end."""
    whole = "".join(readme.blocks())
    places = [whole.find(step) for step in STEPS]
    assert -1 not in places
    assert places == sorted(places)


def test_the_script_has_every_line() -> None:
    """What a reader copies, without a line replaced, and a shell understands it."""
    assert readme.script().endswith("".join(readme.blocks()))
    done = subprocess.run(["bash", "-n"], input=readme.script(), text=True, capture_output=True, check=False)
    assert done.stderr == ""


def test_the_images_that_it_names_are_of_the_version_that_is_built() -> None:
    """The operator's by the manifest that it changes, the launcher's by its name."""
    (deployment,) = [each for each in documents("manifests") if each["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    named = {f"registry.example.com/{container['image']}"}
    named |= set(re.findall(r"--launcher-image (\S+)", "".join(readme.blocks())))
    assert named < set(readme.STANDS_IN)
    assert {each.rpartition(":")[2] for each in named} == {container["image"].rpartition(":")[2]}


def test_blocks_are_found_by_chapter() -> None:
    """And those of other languages aren't."""
    page = "# a\n\n## b\n```shell\none\n```\n```yaml\ntwo: 2\n```\n## c\n```shell\nthree\n```\n"
    assert shell_blocks(page) == ["one\n", "three\n"]
    assert shell_blocks(page, "b") == ["one\n"]
