# The operator's image. Build it from the root of the repository:  docker build -t workerpool-controller .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
COPY requirements.txt .
# The environment has no pip of its own, so none gets into the image with it.
RUN python -m venv --without-pip /opt/venv \
    && pip --no-cache-dir --disable-pip-version-check --python /opt/venv/bin/python install --only-binary :all: -r requirements.txt
COPY app /srv/app
COPY protocol /srv/protocol
# The root of a running container is read-only: what isn't compiled now is compiled at every start.
RUN /opt/venv/bin/python -m compileall -q /srv /opt/venv

FROM ${PYTHON_IMAGE}
RUN pip --disable-pip-version-check --root-user-action ignore uninstall -y pip setuptools wheel
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv /srv
# MALLOC_ARENA_MAX: with one malloc arena for each thread, 40 threads would hold tens of MiB that nobody uses.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2
WORKDIR /srv
USER 1983:1983
EXPOSE 8080 8081
ENTRYPOINT ["python", "-m", "app"]
