# Any image with Python 3.11 as `python3`, its venv module, and glibc.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
# `cuda` brings the libraries of NVIDIA GPUs along; the driver is the host's.
ARG DEVICE=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python3 -m venv /opt/build && python3 -m venv /opt/kerascope
COPY docker/build.lock docker/${DEVICE}.lock ./
RUN /opt/build/bin/pip install --require-hashes --requirement build.lock
RUN /opt/kerascope/bin/pip install --require-hashes --requirement ${DEVICE}.lock
COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN /opt/build/bin/hatchling build --target wheel --directory /dist \
    && /opt/kerascope/bin/pip install --no-deps --no-index /dist/kerascope-*.whl

FROM ${BASE}
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin kerascope \
    && install --directory --owner kerascope --group kerascope /data
COPY --from=build /opt/kerascope /opt/kerascope
ENV PATH=/opt/kerascope/bin:$PATH HOME=/data PYTHONDONTWRITEBYTECODE=1 \
    KERASCOPE_DATA_DIR=/data KERASCOPE_HOST=0.0.0.0 KERASCOPE_PORT=8000
USER 10001:10001
# Everything that is written goes here, to /tmp and to /dev/shm (--shm-size 512m), so the root may be read-only.
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as url; url.urlopen(f'http://127.0.0.1:{os.environ[\"KERASCOPE_PORT\"]}/livez', timeout=4)"]
ENTRYPOINT ["kerascope"]
CMD ["serve"]
