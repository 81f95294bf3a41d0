"""A Prometheus exporter of queue lengths and usage, for any backend with the GraphQL API of docs/exporter.md.

Pure: ``documents``, ``answers``, ``snapshot``, ``families``. At the edges: ``transport``, ``session``, ``server``, ``cli``.
"""

__version__ = "0.1.0"
"""The product's version; a test compares it with the project's."""
