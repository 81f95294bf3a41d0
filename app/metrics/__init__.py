"""What the operator tells Prometheus: a registry of our own, filled at each scrape, and a small server for it."""
