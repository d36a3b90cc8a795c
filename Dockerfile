# An image that runs durable workflows: `docker build -t claw .`, or `docker compose up`.
#
# It holds claw_actors, and examples/service.py as the program; docs/containers.md says how to put
# your own in its place. BASE may be any Debian or Ubuntu with Python 3.11 or newer.
ARG BASE=python:3.13-slim

# -- the environment, in a stage that is thrown away ------------------------------------------------
FROM ${BASE} AS build

# For closed networks. An index that needs a password comes as a secret, pip_conf; a certificate
# that is not everybody's as another one, ca.
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

# What changes seldom comes first: this layer is built again when pyproject.toml changes. The build
# backend lies beside the environment, which does not need it any more.
WORKDIR /opt/claw
COPY .ci/make_venv.py pyproject.toml /build/
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf --mount=type=secret,id=ca \
    if [ -e /run/secrets/ca ]; then \
        export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca; \
    fi \
    && python3 /build/make_venv.py \
    && .venv/bin/python -c "import tomllib; it = tomllib.load(open('/build/pyproject.toml', 'rb')); \
print(*it['project']['dependencies'], file=open('/build/needed', 'w'), sep='\n'); \
print(*it['build-system']['requires'], file=open('/build/backend', 'w'), sep='\n')" \
    && .venv/bin/pip install -r /build/needed \
    && .venv/bin/pip install -r /build/backend --target /build/with

COPY README.md LICENSE /build/
COPY claw_actors /build/claw_actors
RUN PYTHONPATH=/build/with \
    .venv/bin/pip install --no-index --no-deps --no-build-isolation /build

# -- what runs --------------------------------------------------------------------------------------
FROM ${BASE}

# A named volume takes over the owner and the mode of the directory that it is mounted on first.
RUN groupadd --gid 10001 claw \
    && useradd --uid 10001 --gid claw --no-create-home --home-dir /data --shell /usr/sbin/nologin claw \
    && install --directory --owner=claw --group=claw --mode=0700 /data

COPY --from=build /opt/claw/.venv /opt/claw/.venv
WORKDIR /app
COPY examples/service.py ./

ENV PATH=/opt/claw/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CLAW_STORAGE_TYPE=sqlite \
    CLAW_STORAGE_SQLITE_PATH=/data/claw.db

# By number, so that who forbids root in containers can see that it is not root.
USER 10001:10001
VOLUME /data

# A stop has to be given more time than CLAW_RUNTIME_GRACE (5 seconds): docker's own 10 are enough.
STOPSIGNAL SIGTERM

# Reads no rows, and costs the same however large the database is.
HEALTHCHECK --interval=60s --timeout=60s --start-period=30s --retries=3 \
    CMD ["claw", "doctor", "--quick"]

# No shell in between: the signal to stop reaches claw.
ENTRYPOINT ["claw"]
CMD ["run", "service:workflows", "--serve", "service:serve"]
