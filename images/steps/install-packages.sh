#!/bin/sh
# A step of the images' builds: installs the packages of lock file $1 into /opt/venv, wheels alone, each checked by its
# hash. What else is given is taken out again: patterns below the folder of packages, for what is never imported.
set -eu

# The environment has no pip of its own, so none gets into the image with it.
python -m venv --without-pip /opt/venv
pip --disable-pip-version-check --no-cache-dir --python /opt/venv/bin/python install \
    --quiet --no-compile --require-hashes --only-binary :all: --requirement "$1"

shift
cd /opt/venv/lib/python3*/site-packages
for surplus in "$@"; do
    # A pattern that fits nothing fails: the package has changed.
    rm -r $surplus
done
# Only Python is called by name; what packages bring as commands is for developers.
find /opt/venv/bin ! -type d ! -name 'python*' -delete
# Not by time: a build's files get another one. Not checked: nobody can change the source.
PYTHONHASHSEED=0 /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv
