"""The operator's web application as pytest-flask's `client` sees it."""

import pytest
from flask import Flask

from app.web.application import create_app
from tests.unit.web.health import ToldHealth


@pytest.fixture
def health() -> ToldHealth:
    """Give the answers of the probes."""
    return ToldHealth()


@pytest.fixture
def app(health: ToldHealth) -> Flask:
    """Give the application under test."""
    return create_app(health)
