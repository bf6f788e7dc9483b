# syntax=docker/dockerfile:1

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# The packages change seldom: their layer is kept while only the code changes.
COPY requirements.lock requirements-dev.lock ./
RUN python -m venv /opt/autopack \
    && /opt/autopack/bin/python -m pip install --require-hashes --requirement requirements.lock
# The build backend is in the lock of the development tools only, so its entry, hashes included, is taken from there.
RUN sed -n '/^setuptools==/,/^    # via/p' requirements-dev.lock > backend.txt \
    && python -m venv /opt/backend \
    && /opt/backend/bin/python -m pip install --require-hashes --requirement backend.txt

COPY pyproject.toml LICENSE ./
COPY app app
COPY handlers handlers
COPY prompts prompts
COPY rulesets rulesets
RUN /opt/backend/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/autopack/bin/python -m pip install --no-deps --no-index /wheels/autopack-*.whl


FROM python:3.11-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin autopack \
    && install --directory --owner autopack --group autopack /data
COPY --from=build /opt/autopack /opt/autopack

# The artifacts, and beside them the mirrors, the work trees and, without DATABASE_URL, the database.
ENV PATH="/opt/autopack/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    AUTONOMOUS_RUNS_DIR=/data/autonomous_runs
USER autopack
WORKDIR /data
VOLUME /data
EXPOSE 8000

HEALTHCHECK --interval=15s --timeout=6s --start-period=30s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=5)"]
STOPSIGNAL SIGTERM
CMD ["autopack", "serve"]
