"""Switches in the executor, which is a shell script: a line of it is taken out, and a real process runs what is left."""

from __future__ import annotations
