# One image with every program; docker-compose.yml says which of them a container runs.

# The same release as rust-toolchain.toml, which .dockerignore keeps out: rustup would else fetch the lint
# components it names, which no build needs.
FROM rust:1.95.0-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential libssl-dev pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# The caches stay on the machine that builds, so a second build compiles only what has changed; what goes on
# into the image is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --release \
        --package producer --package processor --package sink --package console --package simulator --bins \
    && mkdir /programs \
    && cp target/release/sisdmk-producer target/release/sisdmk-processor target/release/sisdmk-sink \
        target/release/sisdmk target/release/sisdmk-simulator /programs/

# The same Debian as above: the programs are linked with its C library and its OpenSSL.
FROM debian:12.15-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 sisdmk \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin sisdmk \
    # A new volume takes its owner from here.
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/sisdmk/quarantine
COPY --from=build /programs/ /usr/local/bin/
COPY --chmod=0755 deploy/compose/http-ok.sh /usr/local/bin/http-ok
USER 10001:10001
CMD ["sisdmk", "--help"]
