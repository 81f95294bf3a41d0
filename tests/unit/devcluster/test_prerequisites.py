"""What is missing on a machine is named with the command that brings it."""

import os

from devcluster.prerequisites import REQUIREMENTS, explanation, find

BROKER = next(need for need in REQUIREMENTS if need.command == "mosquitto")
SANDBOX = next(need for need in REQUIREMENTS if need.command == "bwrap")


def test_the_message_names_what_is_missing_why_and_what_to_type() -> None:
    """The package's name is not always the command's."""
    text = explanation([BROKER, SANDBOX], managers=["dnf"])
    assert "missing: mosquitto (the MQTT broker)" in text
    assert text.endswith("dnf install -y mosquitto bubblewrap")


def test_a_user_without_root_is_told_to_use_sudo_where_that_is_needed() -> None:
    """Homebrew refuses to run as root."""
    text = explanation([BROKER], managers=["apt-get", "brew"])
    sudo = "" if os.geteuid() == 0 else "sudo "
    assert text.endswith(f"install with: {sudo}apt-get install -y mosquitto or brew install mosquitto")


def test_an_unknown_system_gets_the_names_of_the_packages() -> None:
    """Better than a command that does not exist there."""
    assert explanation([SANDBOX], managers=[]).endswith(
        "install with: the packages bubblewrap of your system"
    )


def test_commands_are_found_and_unknown_ones_are_not() -> None:
    """The search knows PATH and where daemons live."""
    assert find("sh")
    assert find("no-such-command-anywhere") is None
