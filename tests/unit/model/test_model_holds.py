"""The protocol, checked state by state within small bounds: `make model` has the big ones."""

import pytest

from tests.model.bounds import FAST, Search


@pytest.mark.parametrize("search", FAST, ids=lambda search: search.name.replace(" ", "-"))
def test_everything_holds_in_every_state(search: Search) -> None:
    """Every promise holds in each reachable state, and from each everything can settle."""
    report = search.run()
    assert report.complete
    assert report.holds, report.details()
