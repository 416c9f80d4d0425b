#!/bin/sh
# Runs the conformance runner of the Model Context Protocol against an assistant. It needs npm, and installs the runner and the
# node that it needs into a temporary folder. Usage: mcp.sh PYTHON
set -eu
python=$1
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
port=${PORT:-8931}
trap 'kill $server 2>/dev/null || true; rm -rf "$folder"' EXIT
server=0
npm install --prefix "$folder" --no-fund --no-audit --silent node@22 @modelcontextprotocol/conformance
"$python" "$here/mcp_assistant.py" "$port" &
server=$!
until "$python" -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null; do sleep 0.2; done
failed=0
# The scenarios of what an assistant has. Pictures, sounds, prompts, templates, subscriptions, sampling and completions it has not.
for scenario in server-initialize ping tools-list tools-call-simple-text tools-call-error tools-call-with-progress \
    server-sse-multiple-streams resources-list dns-rebinding-protection; do
    "$folder/node_modules/.bin/node" "$folder/node_modules/.bin/conformance" server --url "http://127.0.0.1:$port/mcp" \
        --scenario "$scenario" --output-dir "$folder/results" >"$folder/$scenario.txt" 2>&1 && echo "passed  $scenario" || {
        echo "FAILED  $scenario"; cat "$folder/$scenario.txt"; failed=1
    }
done
exit $failed
