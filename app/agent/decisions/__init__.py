"""The agent's policies: pure functions of what was observed, with the time passed in. No I/O, no clock."""
