"""Pure builders, each of one desired object: the Worker of a pool and the Pod of a run.

They are told everything; they observe nothing, and the same arguments always build the same object.
"""
