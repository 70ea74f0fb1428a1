#!/bin/sh
# Installs what this product needs on Debian or Ubuntu, and only what is missing.
#
#   exit 0  everything is there (no output, no network when it was there before)
#   exit 3  something is missing and may not be installed here; the line to type is printed
#
# `make` calls it first. It needs no argument. The Rust tool chain is not a package here: rustup
# brings the version that rust-toolchain.toml names.
set -eu

fail() {
    printf '%s\n' "$@" >&2
    exit 3
}

has() { command -v "$1" >/dev/null 2>&1; }

# Major version of the java on PATH; empty when there is none. 1.8 is called 8.
java_major() {
    has java || return 0
    java -version 2>&1 | sed -n 's/.*version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p' | sed -n 1p
}

# The cheap question first: starting a Java machine costs more than all other checks together.
# Debian and Ubuntu name the directory after the version.
java_is_new_enough() {
    path=$(readlink -f "$(command -v java 2>/dev/null || echo /nonexistent)" 2>/dev/null) || path=
    case "$path" in
        */java-1[7-9]-openjdk*/bin/java | */java-[2-9][0-9]-openjdk*/bin/java) return 0 ;;
    esac
    major=$(java_major)
    [ -n "$major" ] && [ "$major" -ge 17 ]
}

# initdb and postgres are not on PATH there: each major version has a directory of its own.
has_postgres() {
    has psql || return 1
    has initdb && return 0
    for program in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$program" ] && return 0
    done
    return 1
}

has_header() {
    for directory in /usr/include /usr/local/include "/usr/include/$(uname -m)-linux-gnu"; do
        [ -e "$directory/$1" ] && return 0
    done
    return 1
}

# 3.11 is the first that reads TOML by itself.
has_python() { has python3 && python3 -c 'import tomllib' 2>/dev/null; }

packages=
need() { packages="$packages $1"; }

has gcc && has g++ && has make || need build-essential # librdkafka and zstd are built from source
has pkg-config || need pkg-config                      # finds OpenSSL
has_header openssl/ssl.h || need libssl-dev            # TLS of the HTTP, Kafka and Postgres clients
has_header zlib.h || need zlib1g-dev                   # librdkafka reads gzip
has_postgres || need postgresql                        # a cluster of our own is made from it
has_python || need python3                             # the oracle of the rules' tests
has prometheus-alertmanager || need prometheus-alertmanager # takes the incidents that tests let happen
has promtool || need prometheus                        # tests the alerting rules
has mvn || need maven                                  # fetches Kafka and the registry, once
python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-venv # the example consumer and its test
if ! java_is_new_enough; then
    for newer in /usr/lib/jvm/java-1[7-9]-openjdk*/bin/java /usr/lib/jvm/java-[2-9][0-9]-openjdk*/bin/java; do
        # Installing once more would not put it in front.
        [ -x "$newer" ] && has java &&
            fail "The java on PATH is older than 17, which Kafka needs. A newer one is installed; choose it with:" \
                "    update-alternatives --set java $newer"
    done
    need java
fi

if [ -n "$packages" ]; then
    has apt-get || fail "Missing:$packages. This script knows only apt-get; install them with the package manager of this system."

    # Debian 12 has Java 17, Debian 13 has 21 and no 17; Ubuntu 22.04's default is older than 17.
    # Before apt-get update a new container knows no package at all; then the first name is shown.
    java_package() {
        for name in openjdk-17-jre-headless openjdk-21-jre-headless default-jre-headless; do
            if [ -n "$(apt-cache show --no-all-versions "$name" 2>/dev/null)" ]; then
                echo "$name"
                return
            fi
        done
        echo openjdk-17-jre-headless
    }
    resolved() {
        for package in $packages; do
            case "$package" in
                java) printf ' %s' "$(java_package)" ;;
                *) printf ' %s' "$package" ;;
            esac
        done
    }

    if [ "$(id -u)" -eq 0 ]; then
        sudo=
    elif has sudo && sudo -n true 2>/dev/null; then
        sudo=sudo
    else
        fail "Missing packages, and this user may not install them. Type this and try again:" \
            "    sudo apt-get update && sudo apt-get install -y --no-install-recommends$(resolved)"
    fi

    # The package postgresql makes a cluster `main` and starts it as a service. That is left as
    # it is: it is what the machine's owner gets from apt-get everywhere, it is on port 5432,
    # which the stack does not use, and a setting that prevents it (createcluster.conf, a
    # policy-rc.d) would outlive this script and surprise at the next installation. Existing
    # clusters are neither stopped nor changed.
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get update ||
        fail "apt-get could not read the package lists. Mend what it says above, then type:" \
            "    ${sudo:+sudo }apt-get update"
    chosen=$(resolved)
    # Word splitting is meant: one word for each package.
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $chosen ||
        fail "apt-get could not install the missing packages. Mend what it says above, then type:" \
            "    ${sudo:+sudo }apt-get install -y --no-install-recommends$chosen"
    has_python || fail "The python3 on PATH is older than 3.11, which the tests need. Install a newer one and put it in front."
    java_is_new_enough ||
        fail "The java on PATH is still older than 17. Choose a newer one with:" \
            "    ${sudo:+sudo }update-alternatives --config java"
fi

# rustup puts cargo where a shell that was opened before does not look.
has cargo || [ -x "${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo" ] ||
    fail "The Rust tool chain (cargo) is missing. Install rustup as https://rustup.rs says, open a new shell, and try again."
