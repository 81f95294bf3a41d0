"""What a triggered run must look like: the check of the admin API's body, with the field named in each error."""

import re
from collections.abc import Mapping
from typing import Any

from mothership.errors import BadRequestError
from mothership.storage.runs import RunRequest

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")
_IMAGE = re.compile(r"[^\s\x00-\x1f]{1,1024}")
_TOOL = re.compile(r"[^\s\x00-\x1f]{0,64}")
_MOST_COMMANDS = 1000


def parse_run_request(
    body: Mapping[str, Any], *, launcher_image: str, default_runner_image: str
) -> RunRequest:
    """Return the request in `body`; raise `BadRequestError` naming the field.

    Its image is empty when neither the body nor the default names one: the pool's own default is meant then.
    """
    image = body.get("runnerImage") or default_runner_image
    if not isinstance(image, str) or not (image == "" or _IMAGE.fullmatch(image)):
        raise BadRequestError("runnerImage: must be an image reference without blanks")
    tool = body.get("tool") or ""
    if not isinstance(tool, str) or not _TOOL.fullmatch(tool):
        raise BadRequestError("tool: must be one word of at most 64 characters, for example ansible")
    return RunRequest(
        source=_source(body.get("source")),
        commands=_commands(body.get("commands")),
        runner_image=image,
        tool=tool,
        launcher_image=launcher_image,
        environment=_environment(body.get("environment")),
    )


def parse_variable(text: str) -> tuple[str, str]:
    """Return name and value of ``NAME=value``; raise `BadRequestError` without repeating the value."""
    name, separator, value = text.partition("=")
    if not separator or not _VARIABLE.fullmatch(name):
        shown = name if separator else "it"
        raise BadRequestError(
            f"environment: {shown!r} is not NAME=value with a name of letters, digits and _"
        )
    return name, value


def _commands(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise BadRequestError("commands: at least one command is needed")
    if len(value) > _MOST_COMMANDS:
        raise BadRequestError(f"commands: at most {_MOST_COMMANDS}")
    for index, item in enumerate(value):
        if not isinstance(item, str) or not item.strip() or "\x00" in item:
            raise BadRequestError(f"commands[{index}]: must be a command, not empty")
    return tuple(value)


def _environment(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequestError("environment: must map names to strings")
    for name, content in value.items():
        if not _VARIABLE.fullmatch(name):
            raise BadRequestError(f"environment: {name!r} is not a name of letters, digits and _")
        if not isinstance(content, str) or "\x00" in content:
            raise BadRequestError(f"environment.{name}: must be a string")
    return dict(value)


def _source(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.get("type", "git") != "git":
        raise BadRequestError("source: must be an object of type git")
    url, ref = _word(value, "url"), _word(value, "ref", "HEAD")
    commit = value.get("commit")
    if commit is not None and (not isinstance(commit, str) or not _COMMIT.fullmatch(commit)):
        raise BadRequestError("source.commit: must be a commit hash")
    root = value.get("projectRoot") or ""
    if not isinstance(root, str) or root.startswith("/") or ".." in root.split("/") or "\x00" in root:
        raise BadRequestError("source.projectRoot: must be a path inside the repository")
    return {"type": "git", "url": url, "ref": ref, "commit": commit, "projectRoot": root}


def _word(value: Mapping[str, Any], name: str, default: str = "") -> str:
    text = value.get(name) or default
    # A leading dash would be read as an option by git.
    if not isinstance(text, str) or not _IMAGE.fullmatch(text) or text.startswith("-"):
        raise BadRequestError(f"source.{name}: must be a word without blanks that doesn't begin with a dash")
    return text
