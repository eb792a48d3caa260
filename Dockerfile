# One image for both ends of a Dataflow job: it launches the Flex Template, and it runs on the workers. What is
# submitted and what runs are therefore the same wheel and the same locked dependencies.

# The versions of Python and Beam must be those of requirements.lock.
ARG PYTHON=3.11.13-slim-bookworm
ARG BEAM=2.77.0
ARG LAUNCHER=20230622_RC00

FROM apache/beam_python3.11_sdk:${BEAM} AS beam
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:${LAUNCHER} AS launcher

FROM python:${PYTHON} AS build
WORKDIR /build
COPY pyproject.toml setup.py README.md ./
COPY pipeline pipeline
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher

WORKDIR /template
COPY requirements.lock ./
RUN python -m pip install --no-cache-dir --no-deps --require-hashes --requirement requirements.lock
COPY --from=build /wheels /wheels
RUN python -m pip install --no-cache-dir --no-deps /wheels/*.whl && python -m pip check

# Contracts and jobs are data: the launcher reads them, and workers get what was compiled from them.
COPY schemas schemas
COPY jobs jobs
COPY deploy/launch.py deploy/launch.py

ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/deploy/launch.py
# The image is complete, so nothing is fetched or staged when a job or a worker starts.
ENV PIP_NO_INDEX=1

# checkov:skip=CKV_DOCKER_2:Dataflow restarts what fails, and does not look at health checks.
# checkov:skip=CKV_DOCKER_3:Beam's boot program makes folders that belong to root, so the image cannot change the user.
ENTRYPOINT ["/opt/apache/beam/boot"]
