# Stands in for python:3.11-slim where no image registry can be reached: Debian's Python, found where that image has it.
ARG DEBIAN_IMAGE=localhost/devcluster/debian
FROM ${DEBIAN_IMAGE}
RUN ln -s /usr/bin/python3 /usr/local/bin/python3 \
    && ln -s python3 /usr/local/bin/python \
    && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED \
    && PYTHONPATH="$(echo /usr/share/python-wheels/pip-*.whl)" python3 -m pip --no-cache-dir --disable-pip-version-check \
       install --root-user-action ignore pip==26.3 setuptools==84.2.1 wheel==0.48.0
CMD ["python3"]
