"""A stand-in for Metacontroller, for machines that have none.

It reads CompositeController and DecoratorController objects from the API and drives their hooks the way
Metacontroller 4.17 does, sharp edges included, so that what works here works there. The flow of one sync:

    caches --event--> work queue --key--> controller (composite | decorator)
                                              | finalizer, claims, related objects (customize hook)
                                              | sync or finalize hook
                                              | plan(observed, desired) -> create, update, delete
                                              v status / labels / finalizer of the parent

`python -m devcluster.hookdriver --kubeconfig FILE` starts it. What it does not do: rolling update strategies,
server-side apply, ETag caching, TLS and credentials for hooks. It refuses objects that ask for those.
"""
