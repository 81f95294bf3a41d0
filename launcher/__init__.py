"""What runs in a run Pod: `init`, `grpc-server`, and the worker executor (a POSIX shell script).

`init` claims the start and prepares the workspace, the executor runs the commands in the user's image, and
`grpc-server` is the executor's only way to the mothership: it renews the lease, carries the stop signal, streams the
log and reports the result. The two halves meet in files of a shared directory (`exchange`); nothing here knows
Kubernetes beyond the Pod's own mounts and environment.
"""
