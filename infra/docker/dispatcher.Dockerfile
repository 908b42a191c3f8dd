# The dispatcher by itself, for where no Knative pushes events: beside functions in containers, or
# beside transcribe on a GPU. From the repository's root:
#   docker build -f infra/docker/dispatcher.Dockerfile -t pocwhisp-dispatcher .
# It is told everything by NATS_URL and DISPATCH_ROUTES (infra/dispatcher/settings.py).
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY events events
COPY shared shared
COPY infra/__init__.py infra/__init__.py
COPY infra/dispatcher infra/dispatcher
RUN python -m venv /opt/pocwhisp \
 && /opt/pocwhisp/bin/pip install ".[dispatcher]" \
 && /opt/pocwhisp/bin/pip uninstall --yes pip setuptools

FROM python:${PYTHON}-slim-bookworm
COPY --from=build /opt/pocwhisp /opt/pocwhisp
# Nothing is written outside /tmp: the root file system may be read-only.
ENV PATH=/opt/pocwhisp/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/tmp
WORKDIR /tmp
USER 65532:65532
STOPSIGNAL SIGTERM
CMD ["python", "-m", "infra.dispatcher"]
