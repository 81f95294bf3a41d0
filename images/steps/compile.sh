#!/bin/sh
# A step of the images' builds: makes the code readable for everyone, whatever the clone's umask was, and compiles it.
set -eu

chmod -R u=rwX,go=rX /srv
PYTHONHASHSEED=0 python -m compileall -q --invalidation-mode unchecked-hash /srv
