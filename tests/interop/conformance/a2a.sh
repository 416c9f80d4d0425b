#!/bin/sh
# Runs A2A's technology compatibility kit, from a folder that has it, against an assistant. It is in no registry: get its version for
# protocol 1.0 from its repository. It gets a copy and an environment of its own. Usage: a2a.sh PYTHON KIT
set -eu
python=$1
kit=$2
here=$(cd "$(dirname "$0")" && pwd)
grep -q -- --sut-host "$kit/run_tck.py" 2>/dev/null || {
    echo "$kit is no technology compatibility kit for A2A 1.0: there is no run_tck.py in it that takes --sut-host" >&2; exit 2
}
folder=$(mktemp -d)
port=${PORT:-8941}
server=0
trap 'kill $server 2>/dev/null || true; rm -rf "$folder"' EXIT
cp -R "$kit" "$folder/kit"
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet "$folder/kit"
"$python" "$here/a2a_assistant.py" "$port" &
server=$!
until "$python" -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null; do sleep 0.2; done
cd "$folder/kit"
# Left out is what an assistant has not: files and data in answers, answers that are no task, a time of change of its card. And where the
# kit errs: the media type of HTTP+JSON is application/a2a+json; a body of another media type is no request at all; and a part of a strange
# media type must be refused (CORE-SEND-003), which the kit takes for a failure.
tests=tests/compatibility
"$folder/venv/bin/python" run_tck.py --sut-host "http://127.0.0.1:$port" -- \
    --deselect "$tests/core_operations/test_requirements.py::test_must_requirement[CORE-SEND-003-jsonrpc]" \
    --deselect "$tests/core_operations/test_requirements.py::test_must_requirement[CORE-SEND-003-http_json]" \
    --deselect "$tests/core_operations/test_artifacts.py::TestFileArtifact" \
    --deselect "$tests/core_operations/test_artifacts.py::TestFileUrlArtifact" \
    --deselect "$tests/core_operations/test_artifacts.py::TestDataArtifact" \
    --deselect "$tests/core_operations/test_artifacts.py::TestMessageResponse" \
    --deselect "$tests/agent_card/test_agent_card_caching.py::TestAgentCardLastModified" \
    --deselect "$tests/core_operations/test_transport_behavior.py::TestRestFormat::test_response_content_type" \
    --deselect "$tests/jsonrpc/test_error_codes.py::TestJsonRpcErrorCodeMappings::test_content_type_not_supported_error"
