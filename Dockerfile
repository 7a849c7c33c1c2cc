# One image; the command chooses the role: web, workers, migrations, or the simulators of a trial.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1 PYTHONPATH=/app

WORKDIR /app
COPY requirements.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    -r requirements.lock

COPY fulfillment ./fulfillment
COPY activities ./activities
COPY workflows ./workflows
COPY workers ./workers
COPY starter ./starter
COPY devstack ./devstack
RUN python -m compileall -q . \
    && useradd --system --uid 10001 --no-create-home waybill \
    && install --directory --owner waybill /data

USER waybill
EXPOSE 8000
CMD ["python", "-m", "starter", "web", "--host", "0.0.0.0", "--port", "8000"]
