"""A real node: kubelet and containerd in namespaces of their own, and a cluster around it."""
