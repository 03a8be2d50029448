FROM python:3.11-slim-bookworm

WORKDIR /opt/rederive
COPY requirements/run.txt requirements/run.txt
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/run.txt

COPY schemas schemas
COPY producers producers
COPY processors processors
COPY sinks sinks
COPY samples samples
COPY rederive rederive
COPY pyproject.toml ./

# Postgres, when it is the embedded one, refuses to run as root
RUN useradd --create-home rederive && install -d -m 700 -o rederive /home/rederive/.rederive
USER rederive
WORKDIR /home/rederive
ENV PYTHONPATH=/opt/rederive PYTHONUNBUFFERED=1 REDERIVE_HOME=/home/rederive/.rederive

ENTRYPOINT ["python", "-P", "-m", "rederive"]
CMD ["--help"]
