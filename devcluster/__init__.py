"""The local cluster for the demo, the tests and debugging: nothing here is shipped to a cluster."""
