# The console: web pages over the gateway, and neither Redis nor PyTorch. Build from the root of the repository:
#   docker build -f deploy/console.Dockerfile -t sparring/console .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# A stage of its own, so that the next one is built again only when this list changes, not with every edit of pyproject.toml.
FROM ${PYTHON_IMAGE} AS requirements
COPY pyproject.toml deploy/requirements.py /source/
RUN python3 /source/requirements.py /source/pyproject.toml console tracing > /requirements.txt

FROM ${PYTHON_IMAGE} AS dependencies
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/sparring
COPY constraints.txt /
COPY --from=requirements /requirements.txt /
RUN /opt/sparring/bin/pip install --constraint /constraints.txt --requirement /requirements.txt

FROM dependencies AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY protos protos
COPY services services
RUN /opt/sparring/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel .

FROM ${PYTHON_IMAGE}
# A fresh volume takes the owner of the folder that it is mounted on, so nothing has to run as root.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin sparring \
    && cd /var/lib && install -d -o 10001 -g 10001 -m 0750 sparring sparring/secrets
ENV PATH=/opt/sparring/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1
COPY --from=dependencies /opt/sparring /opt/sparring
COPY --from=wheel /wheel /wheel
COPY deploy/console_health.py /opt/sparring/deploy/
# The second line is the point of this image, checked where it is made.
RUN pip install --no-deps --no-cache-dir --disable-pip-version-check /wheel/*.whl \
    && python -c "import importlib.util as u; found = [m for m in ('torch', 'numpy', 'redis', 'celery') if u.find_spec(m)]; assert not found, found"
ENV PYTHONDONTWRITEBYTECODE=1 SPARRING_CONSOLE_LISTEN=0.0.0.0:50080
EXPOSE 50080
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=8s --start-period=30s --retries=3 CMD ["python", "/opt/sparring/deploy/console_health.py"]
CMD ["python", "-m", "services.console"]
