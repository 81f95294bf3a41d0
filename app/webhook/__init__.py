"""How the hooks are served: over TLS by a certificate that changes without a restart, to callers that know a token."""
