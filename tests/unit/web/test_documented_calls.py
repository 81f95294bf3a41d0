"""Facts about docs/hooks.md: what it prints is what the hooks answer."""

import json
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
CALL = r"\$ curl -s --data(?:-binary)? (?:@(?P<file>\S+)|'(?P<body>[^\n]*)') \$HOOKS(?P<hook>/\S+)\n```\n"
ANSWERED = [
    pytest.param(*match.group("file", "body", "hook", "answer"), id=f"{match['file'] or match['hook']}")
    for match in re.finditer(CALL + r"\n```json\n(?P<answer>.*?)```\n", TEXT, re.DOTALL)
]


@pytest.mark.parametrize(("file", "body", "hook", "answer"), ANSWERED)
def test_a_documented_call_answers_what_is_printed(
    client: FlaskClient, file: str | None, body: str | None, hook: str, answer: str
) -> None:
    """Each curl line of the page, with the JSON below it."""
    data = (ROOT / file).read_bytes() if file else str(body).encode()
    assert client.post(hook, data=data).get_json() == json.loads(answer)


def test_every_hook_is_documented_with_a_call(client: FlaskClient) -> None:
    """In the table and as a curl line."""
    rules = client.application.url_map.iter_rules()
    hooks = {rule.rule for rule in rules if "POST" in (rule.methods or ())}
    assert {match["hook"] for match in re.finditer(CALL, TEXT)} == hooks
    assert set(re.findall(r"`POST (/\S+)`", TEXT)) == hooks
