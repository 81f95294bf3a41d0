"""One file for each failure, named after it. `tests.faults.scenario` says what a file holds."""
