"""The fault suite: a load of runs, faults injected while it goes on, and a verdict from outside the product."""
