"""Configuration of Mosquitto for this protocol: TLS, client certificates, who may use which topic, persistence."""

import os
import pwd
from pathlib import Path

from mothership.ca import MQTT_USER
from mothership.files import DataFiles
from mothership.settings import Address
from protocol.mqtt import MAX_PACKET_BYTES
from protocol.topics import DEFAULT_NAMESPACE

_CONFIG = """\
# Written by `mothership broker-config`.
# Started as root, Mosquitto becomes this user before it reads its key.
user {owner}
listener {port} {host}
cafile {ca}
certfile {certificate}
keyfile {key}
tls_version tlsv1.2

# The client certificate's CN is the user name that the ACL sees: a pool's ULID, or {user}.
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {acl}

# Off or every 30 minutes by default: a crash would lose queued assignments and results.
persistence true
persistence_location {store}/
autosave_interval 5
autosave_on_changes false

# The defaults drop messages silently when a thousand workers speak at once.
max_queued_messages 100000
max_inflight_messages 1000
max_packet_size {packet}
persistent_client_expiration 14d

log_dest stdout
log_type error
log_type warning
log_type notice
connection_messages true
"""

_ACL = """\
# The mothership hears every worker and writes to every worker.
user {user}
topic read {namespace}/writeonly/#
topic write {namespace}/readonly/#
topic read $SYS/broker/#

# A pool, named by its certificate's CN, reads and writes its own topics and nothing else.
pattern read {namespace}/readonly/%u/+
pattern write {namespace}/writeonly/%u/+
"""


def write_broker_config(
    files: DataFiles, listen: Address, directory: Path, namespace: str = DEFAULT_NAMESPACE
) -> list[Path]:
    """Write mosquitto.conf and acl into `directory`, with absolute paths; return both."""
    directory.mkdir(parents=True, exist_ok=True)
    store = directory / "data"
    store.mkdir(exist_ok=True, mode=0o700)
    certificate, key = files.pair("broker")
    acl = directory / "acl"
    acl.write_text(_ACL.format(user=MQTT_USER, namespace=namespace), encoding="ascii")
    # Mosquitto reads an ACL file that others may write only with a warning, and later versions not at all.
    acl.chmod(0o600)
    config = directory / "mosquitto.conf"
    config.write_text(
        _CONFIG.format(
            owner=pwd.getpwuid(os.geteuid()).pw_name,
            port=listen.port,
            host=listen.host,
            ca=files.ca.resolve(),
            certificate=certificate.resolve(),
            key=key.resolve(),
            user=MQTT_USER,
            acl=acl.resolve(),
            store=store.resolve(),
            packet=MAX_PACKET_BYTES,
        ),
        encoding="utf-8",
    )
    return [config, acl]
