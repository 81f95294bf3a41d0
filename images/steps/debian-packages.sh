#!/bin/sh
# A step of the images' builds: installs Debian packages without what they only recommend.
# DEBIAN_SNAPSHOT, such as 20261101T000000Z, takes the archive as it was then: the same packages at any later time.
set -eu

if [ -n "${DEBIAN_SNAPSHOT:-}" ]; then
    rm -f /etc/apt/sources.list.d/*
    archive=http://snapshot.debian.org/archive
    . /etc/os-release
    cat >/etc/apt/sources.list <<END
deb [check-valid-until=no] $archive/debian/$DEBIAN_SNAPSHOT $VERSION_CODENAME main
deb [check-valid-until=no] $archive/debian/$DEBIAN_SNAPSHOT $VERSION_CODENAME-updates main
deb [check-valid-until=no] $archive/debian-security/$DEBIAN_SNAPSHOT $VERSION_CODENAME-security main
END
fi
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@" >/dev/null
