#!/bin/sh
# Runs an assistant through the client of AG-UI, which verifies every event. It needs npm, and installs the client and the node
# that it needs into a temporary folder. Usage: agui.sh PYTHON
set -eu
python=$1
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --prefix "$folder" --no-fund --no-audit --silent node@22 @ag-ui/client@1
cp "$here/agui.mjs" "$folder/agui.mjs"
"$folder/node_modules/.bin/node" "$folder/agui.mjs" "$python" "$here/agui_assistant.py"
