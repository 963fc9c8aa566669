# A worker: PyTorch, and Redis as its only contact. Build from the root of the repository:
#   docker build -f deploy/worker.Dockerfile -t sparring/worker .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# As in gateway.Dockerfile: PyTorch is installed again only when its own line changes.
FROM ${PYTHON_IMAGE} AS requirements
COPY pyproject.toml deploy/requirements.py /source/
RUN python3 /source/requirements.py /source/pyproject.toml worker tracing storage > /requirements.txt \
    && grep -E '^torch(vision)?==' /requirements.txt > /torch.txt

FROM ${PYTHON_IMAGE} AS dependencies
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/sparring
# PyTorch publishes one package index for CPUs and one for each CUDA version. Empty: pip's usual index, whose Linux wheels
# bring CUDA along (some 5 GB) and run on a CPU as well. deploy/README.md says which to choose.
ARG TORCH_INDEX_URL=
COPY --from=requirements /torch.txt /
RUN /opt/sparring/bin/pip install --no-deps ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} --requirement /torch.txt
COPY constraints.txt /
COPY --from=requirements /requirements.txt /
RUN /opt/sparring/bin/pip install --constraint /constraints.txt --requirement /requirements.txt

FROM dependencies AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY protos protos
COPY services services
COPY workers workers
RUN /opt/sparring/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel .

FROM ${PYTHON_IMAGE}
# As in gateway.Dockerfile: a fresh volume takes the owner of the folder that it is mounted on. The first is for the locks
# by which workers share out GPUs.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin sparring \
    && install -d -o 10001 -g 10001 -m 0750 /tmp/sparring-gpus /var/lib/sparring /var/lib/sparring/artifacts \
    && install -d /data
ENV PATH=/opt/sparring/bin:$PATH HOME=/tmp MPLCONFIGDIR=/tmp PYTHONUNBUFFERED=1
COPY --from=dependencies /opt/sparring /opt/sparring
COPY --from=wheel /wheel /wheel
COPY deploy/worker.sh deploy/worker_health.sh /opt/sparring/deploy/
RUN pip install --no-deps --no-cache-dir --disable-pip-version-check /wheel/*.whl
ENV PYTHONDONTWRITEBYTECODE=1
ENV SPARRING_LANE=cpu SPARRING_DATA_ROOT=/data SPARRING_HEARTBEAT_FILE=/tmp/heartbeat
USER 10001:10001
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["sh", "/opt/sparring/deploy/worker_health.sh"]
CMD ["sh", "/opt/sparring/deploy/worker.sh"]
