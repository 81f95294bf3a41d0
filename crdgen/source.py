"""Reading the hand-written sources: YAML in which ``{{NAME}}`` stands for a name of the operator's vocabulary.

A source may also define names of its own, for parts that several CEL rules share, below the key ``$let``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from app import vocabulary

Words = Mapping[str, object]

FOLDER: Final = Path(__file__).parent
LET: Final = "$let"
_PLACEHOLDER: Final = re.compile(r"\{\{(\w+)\}\}")


def vocabulary_words() -> dict[str, object]:
    """Return every constant of the operator's vocabulary."""
    return {name: value for name, value in vars(vocabulary).items() if name.isupper()}


def read(name: str) -> dict[str, Any]:
    """Read a file of this package with its placeholders replaced; raise ValueError for one that means nothing."""
    return resolved(yaml.safe_load((FOLDER / name).read_text(encoding="utf-8")), vocabulary_words())


def resolved(document: dict[str, Any], words: Words) -> dict[str, Any]:
    """Return the document without ``$let`` and with every placeholder replaced by its word."""
    known = dict(words)
    for name, value in document.get(LET, {}).items():
        known[name] = _replaced(value, known)
    return {key: _replaced(value, known) for key, value in document.items() if key != LET}


def _replaced(value: Any, words: Words) -> Any:  # noqa: ANN401 - any YAML value
    if isinstance(value, dict):
        return {key: _replaced(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, words) for item in value]
    if not isinstance(value, str):
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    if whole is not None:
        # A number stays one: a default of "5" would be a text.
        return _word(whole[1], words)
    return _PLACEHOLDER.sub(lambda found: _text(_word(found[1], words)), value)


def _word(name: str, words: Words) -> object:
    if name not in words:
        raise ValueError(f"{{{{{name}}}}}: neither the vocabulary nor $let has this name")
    return words[name]


def _text(word: object) -> str:
    """Return a word inside of a longer text: several words become the members of a CEL list."""
    return ", ".join(f"'{each}'" for each in word) if isinstance(word, tuple) else str(word)
