#!/bin/sh
# Builds a page of assistant-ui, a front end from npm, in a temporary folder, and uses it in headless Chromium. It needs npm, and
# Chromium with its driver. The date keeps to versions that fit each other. Usage: frontend.sh PYTHON
set -eu
python=$1
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --prefix "$folder" --no-fund --no-audit --silent --before=2026-09-01 react@19 react-dom@19 @assistant-ui/react \
    @assistant-ui/react-ag-ui @ag-ui/client esbuild
cp "$here/frontend/page.jsx" "$folder/page.jsx"
"$folder/node_modules/.bin/esbuild" "$folder/page.jsx" --bundle --outfile="$folder/site/page.js" --jsx=automatic --log-level=error \
    --define:process.env.NODE_ENV='"production"'
echo '<!doctype html><html lang="en"><title>assistant</title><div id="page"></div><script src="page.js"></script></html>' \
    >"$folder/site/index.html"
cd "$here/../../.." && "$python" -m tests.interop.conformance.frontend "$folder/site"
