# The images of Sluice: `docker build --target NAME .`
#
#   cli        the command `sluice`, with the contracts, jobs and monitors of this checkout
#   live       the same with Prism, which runs streaming jobs
#   dbt        dbt with the models of this checkout
#   prefect, airflow   a scheduler with the flow or DAG of this checkout, and with what its steps start: cli and dbt
#   dataflow   both ends of a Dataflow job (the last one, so the default): it launches the Flex Template, and it runs on
#              the workers. What is submitted and what runs are therefore the same wheel and the same dependencies.
#
# All but `dataflow` run as the user 10001.

# The versions of Python and Beam must be those of requirements.lock. `scripts/image renew` asks the registries for the digests.
ARG PYTHON=3.11.13-slim-bookworm@sha256:86adf8dbadc3d6e82ee5dd2c74bec2e1c2467cdad47886280501df722372d2e1
ARG GO=1.24.4-bookworm@sha256:ee7ff13d239350cc9b962c1bf371a60f3c32ee00eaaf0d0f0489713a87e51a67
ARG BEAM=2.77.0
ARG LAUNCHER=20230622_RC00

# What is installed is downloaded and built here, against hashes and with the build tools of a lock; the images have neither.
FROM python:${PYTHON} AS build
WORKDIR /build
COPY tools/build.lock requirements-runtime.lock ./
RUN python -m pip install --no-cache-dir --no-deps --require-hashes --requirement build.lock && \
    python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --require-hashes --wheel-dir /wheels \
      --requirement requirements-runtime.lock
COPY pyproject.toml setup.py README.md ./
COPY pipeline pipeline
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:${PYTHON} AS packages
# The images are complete, so nothing is fetched when a container, a job or a worker starts.
ENV PIP_NO_INDEX=1 PYTHONDONTWRITEBYTECODE=1
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir --no-deps /wheels/*.whl && python -m pip check

FROM packages AS cli
WORKDIR /sluice
# Volumes get the owner of the folder that they are mounted on.
RUN useradd --uid 10001 --home-dir /tmp --no-create-home --no-log-init sluice && \
    install --directory --owner=sluice --group=sluice /sluice/out/collaboration /sluice/out/live
# Contracts, jobs and monitors are data: `sluice` reads them, and workers get what was compiled from them.
COPY schemas schemas
COPY jobs jobs
COPY monitors monitors
COPY examples/collaboration/pipeline.py examples/collaboration/warehouse.py examples/collaboration/
USER 10001
ENTRYPOINT ["sluice"]

FROM golang:${GO} AS prism
ARG BEAM
RUN GOFLAGS=-ldflags=-s go install github.com/apache/beam/sdks/v2/go/cmd/prism@v${BEAM}

FROM cli AS live
COPY --from=prism /go/bin/prism /usr/local/bin/prism

FROM python:${PYTHON} AS dbt
WORKDIR /sluice
COPY tools/dbt.lock ./
RUN python -m pip install --no-cache-dir --no-deps --require-hashes --requirement dbt.lock && python -m pip check
RUN useradd --uid 10001 --home-dir /tmp --no-create-home --no-log-init sluice
COPY dbt dbt
ENV DBT_PROJECT_DIR=dbt DBT_PROFILES_DIR=dbt DBT_TARGET_PATH=/tmp/dbt DBT_LOG_PATH=/tmp/dbt/logs PYTHONDONTWRITEBYTECODE=1
USER 10001
ENTRYPOINT ["dbt"]

# The steps of a scheduler run in environments of their own, at the places that orchestration/steps.py expects. The user is
# changed by the images that are made of this one.
FROM cli AS steps
# hadolint ignore=DL3002
USER 0
COPY tools/dbt.lock ./
RUN python -m venv .tools/dbt && PIP_NO_INDEX=0 .tools/dbt/bin/python -m pip install --no-cache-dir \
      --no-deps --require-hashes --requirement dbt.lock && \
    install --directory .venv/bin && ln -s "$(command -v python)" .venv/bin/python
COPY dbt dbt
COPY orchestration orchestration
ENV PYTHONPATH=/sluice DO_NOT_TRACK=1

FROM steps AS prefect
COPY tools/prefect.lock ./
RUN python -m venv .tools/prefect && PIP_NO_INDEX=0 .tools/prefect/bin/python -m pip install --no-cache-dir --no-deps \
      --require-hashes --requirement prefect.lock && install --directory --owner=sluice out/prefect
ENV PREFECT_HOME=/sluice/out/prefect PREFECT_SERVER_ANALYTICS_ENABLED=false PATH=/sluice/.tools/prefect/bin:$PATH
USER 10001
ENTRYPOINT ["prefect"]

FROM steps AS airflow
COPY tools/airflow.lock ./
RUN python -m venv .tools/airflow && PIP_NO_INDEX=0 .tools/airflow/bin/python -m pip install --no-cache-dir --no-deps \
      --require-hashes --requirement airflow.lock && install --directory --owner=sluice out/airflow
ENV AIRFLOW_HOME=/sluice/out/airflow AIRFLOW__CORE__DAGS_FOLDER=/sluice/orchestration/airflow/dags \
    AIRFLOW__CORE__LOAD_EXAMPLES=False PATH=/sluice/.tools/airflow/bin:$PATH
USER 10001
ENTRYPOINT ["airflow"]

# Beam's boot program, from the source that Go's checksum database vouches for: its image is not needed for one file.
FROM golang:${GO} AS boot
ARG BEAM
RUN CGO_ENABLED=0 GOFLAGS=-ldflags=-s go install github.com/apache/beam/sdks/v2/python/container@v${BEAM}

FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:${LAUNCHER} AS launcher

FROM packages AS dataflow
COPY --from=boot /go/bin/container /opt/apache/beam/boot
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
WORKDIR /template
COPY schemas schemas
COPY jobs jobs
# A deployment sends events of this contract through the job that it started.
COPY deploy/canary.odcs.yaml schemas/backend_events/
COPY deploy/launch.py deploy/launch.py
# Workers have nothing to install, so they need no environment of their own beside the one of the image.
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/deploy/launch.py RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1

# checkov:skip=CKV_DOCKER_2:Dataflow restarts what fails, and does not look at health checks.
# checkov:skip=CKV_DOCKER_3:Beam's boot program makes folders that belong to root, so the image cannot change the user.
ENTRYPOINT ["/opt/apache/beam/boot"]
