"""Builds the container images, on their pinned base or on a local stand-in of it. Part of no image."""
