"""The only Kubernetes client of the operator: few verbs on plain dictionaries, typed errors, watches, Events.

Nothing outside this package imports ``kubernetes``; nothing inside it knows what a run is.
"""
