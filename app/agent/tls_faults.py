"""What a TLS error means for whoever has to mend it; pure.

OpenSSL says what it saw, users need to know which certificate, whose clock and what to do.
"""

import ssl

_NOT_YET_VALID, _EXPIRED = 9, 10
_OURS = {
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the broker says that the pool's certificate has expired: reset the pool to "
    "get a new token, or check the broker's clock",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the broker refused the pool's certificate: it was issued by another CA, or it is "
    "not yet valid by the broker's clock",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the broker refused the pool's certificate",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the broker says that the pool's certificate was revoked: reset the pool to "
    "get a new token",
    "TLSV1_ALERT_UNKNOWN_CA": "the broker doesn't know the CA of the pool's certificate: use the token of the "
    "mothership that this broker belongs to",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the broker did not get the pool's certificate",
    "TLSV1_ALERT_ACCESS_DENIED": "the broker refused the pool's certificate: access denied",
}
"""OpenSSL's word for what the other side said of our certificate -> what it means."""


def explained(error: Exception) -> str:
    """Return what a failed connection is told as."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{_of_broker(error)} ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        reason = str(error.reason or "")
        meaning = _OURS.get(reason)
        return f"{meaning} ({reason})" if meaning else f"TLS failed: {reason or error}"
    return f"{type(error).__name__}: {error}"


def _of_broker(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == _NOT_YET_VALID:
        return "the broker's certificate is not yet valid by the operator's clock: check both clocks"
    if error.verify_code == _EXPIRED:
        return "the broker's certificate has expired by the operator's clock: renew it, or check both clocks"
    return "the broker's certificate can't be trusted with the CA of the pool's token"
