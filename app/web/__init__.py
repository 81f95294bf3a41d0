"""The web layer: parse, decide, serialise. Rules live in ``app.reconcile``; the agent is never imported here."""
