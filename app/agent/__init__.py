"""The MQTT agent: keeps registrations, records scheduled runs in Worker status, judges run Pods, publishes results.

Decisions are pure and live in ``decisions/``, one policy per file; ``engine`` and ``pools`` gather what was
observed, ask them, and carry out the answer. Agent and hooks never call each other: they meet only through the
Kubernetes API.
"""
