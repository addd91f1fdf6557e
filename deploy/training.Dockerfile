# The training image: Python, what requirements/dev.txt locks (the lock that has TensorFlow), and the
# three packages. For CPUs; jobs run it as deploy/kubernetes/training says.
#
#   docker build -f deploy/training.Dockerfile -t graft-training .
#   docker run --rm -v ~/pictures:/pictures:ro -v ~/artifacts:/artifacts -e HOME=/tmp \
#     -e BENTOML_HOME=/artifacts/bentoml graft-training --plugin pocket --data /pictures --output /artifacts

FROM python:3.11-slim AS build
COPY requirements/dev.txt /build/dev.txt
RUN python -m venv /opt/graft \
 && /opt/graft/bin/pip install --disable-pip-version-check --require-hashes -r /build/dev.txt

FROM python:3.11-slim
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
