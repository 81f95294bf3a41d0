# The local cluster's runner image and broker: Debian with git and Mosquitto.
ARG DEBIAN_IMAGE=localhost/devcluster/debian
FROM ${DEBIAN_IMAGE}
RUN apt-get update -q && apt-get install -y -q --no-install-recommends git mosquitto && rm -rf /var/lib/apt/lists/* \
    && echo 'spacelift:x:1983:1983::/home/spacelift:/bin/sh' >>/etc/passwd \
    && echo 'spacelift:x:1983:' >>/etc/group \
    && mkdir -m 0777 /home/spacelift
USER 1983:1983
CMD ["/bin/sh"]
