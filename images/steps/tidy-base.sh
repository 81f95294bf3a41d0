#!/bin/sh
# A step of the images' builds: makes the base's file system the root of an image. Installers and development files go,
# the user comes, and Python's library is compiled, because a container with a read-only root can't do that at its start.
set -eu

library=$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
for folder in $(python -c 'import sys; print(*(path for path in sys.path if path.endswith("-packages")))'); do
    (cd "$folder" && rm -rf pip pip-* setuptools setuptools-* wheel wheel-* pkg_resources _distutils_hack distutils-precedence.pth)
done
(cd "$library" && rm -rf ensurepip idlelib lib2to3 test tkinter turtledemo turtle.py config-3*)
rm -rf /usr/local/include /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/bin/pydoc* /usr/local/bin/*-config \
    /usr/local/bin/2to3* /usr/local/share/man /usr/share/man /usr/share/info /usr/share/locale
# Licences stay.
find /usr/share/doc -type f ! -name copyright -delete

# Nobody but 1983 runs here, and nobody becomes another.
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
grep -q '^spacelift:' /etc/passwd || {
    echo 'spacelift:x:1983:1983:spacelift:/home/spacelift:/usr/sbin/nologin' >>/etc/passwd
    echo 'spacelift:x:1983:' >>/etc/group
    mkdir -p /home/spacelift
    chown 1983:1983 /home/spacelift
}

# What package tools leave behind holds the time of day, so that no two builds would be the same.
rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /root/.cache /var/lib/dpkg/*-old /var/lib/systemd

# Not by time: a build's files get another one. Not checked: nobody can change the source.
find / -xdev -name __pycache__ -prune -exec rm -rf {} +
PYTHONHASHSEED=0 python -m compileall -q -f --invalidation-mode unchecked-hash "$library"
rm -rf /tmp/*
