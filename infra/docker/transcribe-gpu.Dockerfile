# transcribe on a GPU: CTranslate2 needs CUDA 12's cuBLAS and cuDNN 9 at run time, which this base
# has. Its Ubuntu 24.04 brings Python 3.12; the one of 22.04 brings 3.10, which is too old for us.
#   docker build -f infra/docker/transcribe-gpu.Dockerfile -t pocwhisp-transcribe-gpu .
ARG CUDA=12.8.1

FROM nvidia/cuda:${CUDA}-cudnn-runtime-ubuntu24.04 AS python
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/*

FROM python AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY events events
COPY shared shared
COPY infra/__init__.py infra/__init__.py
COPY functions functions
RUN python3 -m venv /opt/pocwhisp \
 && /opt/pocwhisp/bin/pip install ".[transcribe,whisper]" \
 && /opt/pocwhisp/bin/pip uninstall --yes pip setuptools

FROM python
COPY --from=build /opt/pocwhisp /opt/pocwhisp
# Nothing is written outside /tmp: the root file system may be read-only. Knative sets PORT.
# With an arena for each of its threads, glibc keeps memory that nobody uses any more.
ENV HOST=0.0.0.0 \
    MALLOC_ARENA_MAX=2 \
    PATH=/opt/pocwhisp/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/tmp
WORKDIR /tmp
USER 65532:65532
STOPSIGNAL SIGTERM
EXPOSE 8080
# The base's entry point prints a banner and execs what it is given; we need no banner.
ENTRYPOINT []
CMD ["python", "-m", "functions.transcribe.main"]
