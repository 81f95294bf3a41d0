"""The process node: registers a Node and runs Pods unmodified as local processes.

`python -m devcluster.node` is its command line. It talks to a real kube-apiserver as a kubelet does, so that
`kubectl get pods` and `kubectl logs` work, and runs every container in a mount namespace of its own.
"""
