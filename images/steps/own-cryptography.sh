#!/bin/sh
# A step of the FIPS image's build: replaces the wheel of cryptography, which brings an OpenSSL of its own, by one built
# here from the source that lock file $1 names, against the base's OpenSSL.
set -eu

tools="gcc libc6-dev libssl-dev pkg-config cargo rustc"
sh /build/debian-packages.sh $tools
[ -e "$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] ||
    sh /build/debian-packages.sh python3-dev
sed -n '/^cryptography==/,/[^\\]$/p' "$1" >/build/cryptography.txt
CARGO_HOME=/build/cargo pip --disable-pip-version-check --no-cache-dir --python /opt/venv/bin/python install --quiet \
    --no-compile --force-reinstall --no-deps --no-binary cryptography --require-hashes --requirement /build/cryptography.txt
PYTHONHASHSEED=0 /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv
# It is the base's, indeed: one libcrypto for both.
ldd /opt/venv/lib/python3*/site-packages/cryptography/hazmat/bindings/_rust.abi3.so | grep -q libcrypto
# This stage is kept for rebuilds: not with a gigabyte of tools.
DEBIAN_FRONTEND=noninteractive apt-get -qq purge --yes --autoremove $tools >/dev/null
rm -rf /build/cargo
