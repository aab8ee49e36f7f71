#!/bin/sh
# OpenAI's own clients and Node's ws, installed into a folder that goes away again, against a server on a free port.
# usage: run.sh PATH-OF-RHAPSODE
set -eu

python_client=3.54.0
node_client=7.57.0
websocket_client=8.23.0

server=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
pid=
trap 'test -z "$pid" || kill "$pid"; rm -rf "$work"' EXIT INT TERM

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "openai==$python_client"
cp "$here/openai_client.mjs" "$here/websocket.mjs" "$work/"
(cd "$work" && npm install --silent --no-audit --no-fund "openai@$node_client" "ws@$websocket_client" >/dev/null)

DB_PATH="$work/data" "$server" serve --port 0 >"$work/said" 2>"$work/log" &
pid=$!
tries=0
until base=$(sed -n 's/.*listens on \(http[^ ]*\).*/\1/p' "$work/said") && test -n "$base"; do
    tries=$((tries + 1))
    test "$tries" -lt 60 || { cat "$work/log" >&2; exit 1; }
    sleep 1
done
until "$work/venv/bin/python" - "$base/health" <<'PYTHON'
import json, sys, urllib.request
sys.exit(not json.load(urllib.request.urlopen(sys.argv[1]))["llm_available"])
PYTHON
do
    tries=$((tries + 1))
    test "$tries" -lt 60 || { cat "$work/log" >&2; exit 1; }
    sleep 1
done

"$work/venv/bin/python" "$here/openai_client.py" "$base/v1"
(cd "$work" && node openai_client.mjs "$base/v1")
(cd "$work" && node websocket.mjs "$base")
