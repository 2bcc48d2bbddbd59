# One image for Everline's own processes (API, worker, agent worker) and the two services that
# prepare a stack. The local speech models are GPL and have an image of their own: Dockerfile.models.
#
#   docker build -t everline:0.1.0 .
#
# Its digest could not be looked up where this was written: pin it with
# --build-arg PYTHON_IMAGE=python:3.11.15-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm

# ── build: everything pinned and checked by hash ──────────────────────────────────────────────────
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore \
    UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_CACHE_DIR=/var/cache/uv
WORKDIR /build

COPY requirements/uv.txt requirements/
RUN python -m venv /opt/uv \
    && /opt/uv/bin/pip install --require-hashes --no-deps -r requirements/uv.txt

# What changes seldom comes first, so that it is built seldom.
COPY requirements/base.txt requirements/
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/uv/bin/uv venv --python "$(command -v python)" /opt/everline \
    && /opt/uv/bin/uv pip sync --python /opt/everline/bin/python --require-hashes --compile-bytecode \
        requirements/base.txt

# The builder of our wheel; it stays in this stage.
COPY requirements/build.txt requirements/
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/uv/bin/uv venv --python "$(command -v python)" /opt/hatch \
    && /opt/uv/bin/uv pip sync --python /opt/hatch/bin/python --require-hashes requirements/build.txt

COPY pyproject.toml README.md LICENSE* ./
COPY domain domain
COPY services services
COPY workflows workflows
COPY activities activities
COPY adapters adapters
COPY api api
COPY worker worker
COPY agent agent
COPY cli cli
COPY stack stack
RUN /opt/hatch/bin/hatchling build -t wheel -d /opt/wheel \
    && /opt/uv/bin/uv pip install --python /opt/everline/bin/python --no-deps --no-index \
        --compile-bytecode /opt/wheel/*.whl
COPY deploy/compose/init.py deploy/compose/temporal_setup.py /opt/everline/compose/
# The checkout's umask may have been strict, and who runs these is not who owns them.
RUN chmod -R a+rX /opt/everline

# ── runtime: no compiler, no package manager of ours, no root ─────────────────────────────────────
FROM ${PYTHON_IMAGE} AS runtime
LABEL org.opencontainers.image.title="Everline" \
      org.opencontainers.image.description="Voice-agent sessions that cannot get lost" \
      org.opencontainers.image.licenses="Apache-2.0"
# A number, so that Kubernetes can see that it is not root. The folders are what volumes go over.
RUN groupadd --gid 10001 everline \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin \
        everline \
    && install -d -o 10001 -g 10001 /run/everline /var/lib/everline/spool /var/lib/everline/recordings
COPY --from=build /opt/everline /opt/everline
COPY --chmod=0755 deploy/compose/entrypoint.sh /usr/local/bin/everline-entrypoint
# Nothing is written beside /tmp, the spool and the recordings: the root file system may be read-only.
ENV PATH=/opt/everline/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    NODE_ENV=production HOST=0.0.0.0 EVERLINE_SPOOL_DIR=/var/lib/everline/spool
USER 10001:10001
WORKDIR /var/lib/everline
EXPOSE 4000
ENTRYPOINT ["everline-entrypoint"]
CMD ["python", "-m", "api.main"]
