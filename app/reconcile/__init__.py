"""The policies: pure functions from what was observed to what should exist.

One policy in each file. No clock, no randomness, no I/O: a recorded request answers the same next year, and any
replica answers any hook.
"""
