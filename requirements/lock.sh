#!/bin/sh
# Resolves the dependencies for all platforms and Pythons from 3.11 on, with hashes: lock.sh UV
set -eu
lock() {
    output=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links --upgrade "$@" --output-file "requirements/$output"
}
uv=$1
lock run.lock pyproject.toml --group build --extra cli --extra report --extra console
lock dev.lock pyproject.toml --group build --group dev --group docs --extra cli --extra report --extra testing --extra postgres --extra redis --extra vectors --extra prometheus --extra models --extra network --extra serve \
    --extra a2a --extra cluster --extra console --extra index --extra mcp --extra otel --extra simulation
lock bench.lock pyproject.toml --group bench --extra cli --extra report --extra models --extra network --extra cluster --extra index --extra postgres \
    --extra simulation
