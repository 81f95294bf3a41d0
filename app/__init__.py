"""The operator: Metacontroller hooks that say what should exist, and the agent that tells them what happened."""
