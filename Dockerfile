# The operator's image. Build it from the root of the repository: `make images`, or
#   docker build --tag workerpool-operator:0.1.0 .
# docs/images.md says what can be given, and how two builds become the same.
ARG PYTHON_IMAGE=docker.io/library/python:3.13.15-slim-trixie

# The root of the image. The base's own layers aren't taken over: they hold what is removed here.
FROM ${PYTHON_IMAGE} AS root
COPY images/steps/tidy-base.sh /tmp/
RUN sh /tmp/tidy-base.sh

FROM ${PYTHON_IMAGE} AS packages
COPY images/steps/install-packages.sh images/locks/operator.txt /build/
# Of the Kubernetes client the operator takes configuration and transport; it loads the rest, 120 MB, for nobody else.
RUN sh /build/install-packages.sh /build/operator.txt \
    kubernetes/aio kubernetes/client/api 'kubernetes/client/models/v*'

FROM packages AS sbom
ARG VERSION=0.1.0
COPY images/locks/sbom.txt images/steps/sbom.sh images/steps/write_sbom.py /build/
COPY --from=root /var/lib/dpkg/status /root-of-image/var/lib/dpkg/status
RUN sh /build/sbom.sh /root-of-image workerpool-operator "$VERSION"

FROM ${PYTHON_IMAGE} AS code
COPY images/steps/compile.sh /build/
COPY app /srv/app
COPY protocol /srv/protocol
RUN sh /build/compile.sh

FROM scratch
COPY --from=root / /
COPY --from=packages /opt/venv /opt/venv
COPY --from=sbom /sbom/image.cdx.json /usr/share/sbom/image.cdx.json
COPY --from=code /srv /srv
# MALLOC_ARENA_MAX: with one malloc arena for each thread, 40 threads would hold tens of MiB that nobody uses.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2
WORKDIR /srv
USER 1983:1983
EXPOSE 8080 8081
ENTRYPOINT ["python", "-m", "app"]
# Last, so that another revision of the same files takes no time.
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="workerpool-operator" \
    org.opencontainers.image.description="Kubernetes operator for worker pools" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.source="${SOURCE}" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="${PYTHON_IMAGE}"
