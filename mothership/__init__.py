"""The mothership: the open control plane that registers workers, queues runs and judges their attempts.

It knows pools, workers and runs, and nothing of Kubernetes. Layers, top to bottom: `cli` and `service` (composition),
`api`, `dispatcher` and `broker_link` (the ways in and out), `desk` (messages to transitions, inside one
transaction), `storage`, and `decisions` (pure rules that import none of the others).
"""
