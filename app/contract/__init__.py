"""What Metacontroller and the hooks say to each other: typed requests, typed responses, and their JSON.

Read by ``app.web`` at the edge. Knows the shape of the envelopes, not what a pool or a worker is.
"""
