# The training image: Python, the packages of requirements/train.txt, and the three packages of Graft.
# For GPUs: --build-arg LOCK=train-gpu. The jobs of deploy/kubernetes/training run it.
#
#   docker build -f deploy/training.Dockerfile -t graft-training .
#   docker run --rm -v ~/pictures:/pictures:ro -v ~/artifacts:/artifacts -e HOME=/tmp \
#     -e BENTOML_HOME=/artifacts/bentoml graft-training --plugin pocket --data /pictures --output /artifacts

# The base image is named by tag only, so that a new build includes Debian's fixes. For reproducible
# builds: --build-arg PYTHON=python:3.11-slim@sha256:...
ARG PYTHON=python:3.11-slim
FROM ${PYTHON} AS build
ARG LOCK=train
COPY requirements/${LOCK}.txt /build/lock.txt
RUN python -m venv /opt/graft \
 && /opt/graft/bin/pip install --disable-pip-version-check --no-cache-dir --no-deps --require-hashes -r /build/lock.txt \
 && /opt/graft/bin/pip check

FROM ${PYTHON}
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title=graft-training \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION} \
      org.opencontainers.image.source=${SOURCE}
COPY --from=build /opt/graft /opt/graft
COPY plugins /app/plugins
COPY trainers /app/trainers
COPY service /app/service
WORKDIR /app
ENV PATH=/opt/graft/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BENTOML_DO_NOT_TRACK=True \
    ORT_DISABLE_TELEMETRY=1
USER 65532:65532
ENTRYPOINT ["python", "-m", "trainers.run"]
