# The service on a CPU:
#
#     docker build -t spcnet .
#     docker run --rm -p 127.0.0.1:8000:8000 --read-only --tmpfs /tmp spcnet
#
# Options of `spcnet serve` follow the image's name: docker run ... spcnet --max-megabytes 5
FROM python:3.12-slim

RUN useradd --create-home --uid 10001 spcnet
WORKDIR /opt/spcnet

# PyTorch's own index has builds without CUDA, which is some gigabytes. Their version, such as
# 2.13.0+cpu, counts as higher than that of the usual ones, and is taken.
COPY constraints.txt ./
RUN pip install --no-cache-dir -c constraints.txt \
    --extra-index-url https://download.pytorch.org/whl/cpu torch

COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src ./src
RUN pip install --no-cache-dir -c constraints.txt '.[serve,video]'

USER spcnet
WORKDIR /home/spcnet
ENV PYTHONUNBUFFERED=1
EXPOSE 8000
# It asks port 8000: with another --port, give `docker run` a --health-cmd or --no-healthcheck.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["spcnet", "serve", "--host", "0.0.0.0", "--port", "8000"]
