#!/bin/sh
# Makes a virtual environment: venv.sh PYTHON FOLDER
set -eu
python=$1 folder=$2
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Coterie needs Python 3.11 or later; name one: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi
if "$python" -m venv "$folder" >/dev/null 2>&1; then
    exit 0
fi
rm -rf "$folder"
# Debian keeps a part of the standard library in a package of its own.
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "installing python$version-venv with apt"
    apt-get update -qq && apt-get install -y -qq "python$version-venv" >/dev/null
    "$python" -m venv "$folder"
else
    echo "$python cannot make a virtual environment; install its module venv (Debian: python3-venv)" >&2
    exit 1
fi
