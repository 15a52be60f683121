#!/bin/sh
# What `make run` does once the environment stands: prepare a home with a sample agent, then serve it.
# Expects BIN (where the commands are) and GUARDHOUSE_HOME. Safe to run again: what stands is left as it is.
set -eu

mkdir -p "$GUARDHOUSE_HOME"
chmod 700 "$GUARDHOUSE_HOME"
export GUARDHOUSE_HOME GUARDHOUSE_LOG_LEVEL="${GUARDHOUSE_LOG_LEVEL:-warning}"
sample="$GUARDHOUSE_HOME/sample-agent.token"

field() { # the text of one field of the JSON object on standard input, empty when it is absent
    "$BIN/python" -c 'import json, sys; print(json.load(sys.stdin).get(sys.argv[1], ""))' "$1"
}

prepared=$("$BIN/guardhouse" init --json)
if [ ! -s "$sample" ] || [ -n "$(find "$sample" -mtime +85)" ]; then # an agent's token lasts 90 days
    operator=$(printf '%s' "$prepared" | field operator_token)
    added=$(
        handle=sample-$(date +%s)
        # Only a home made just now gives its operator's token here; later the command reads its own file.
        if [ -n "$operator" ]; then
            handle=sample GUARDHOUSE_TOKEN=$operator
            export GUARDHOUSE_TOKEN
        fi
        "$BIN/guardhouse" agents add "$handle" --trust 2 --role developer --json
    )
    (umask 077 && printf '%s' "$added" | field token >"$sample")
fi

# The server takes over this process, so that Ctrl-C and SIGTERM reach it; a child waits until it listens
# and then tells how to call it. endpoint.json names our own process, so another's file is never believed.
tell() {
    tries=0
    while [ "$tries" -lt 300 ] && kill -0 "$1" 2>/dev/null; do
        if grep -Eq "\"pid\": *$1[,}]" "$GUARDHOUSE_HOME/endpoint.json" 2>/dev/null; then
            address=$(field address <"$GUARDHOUSE_HOME/endpoint.json")
            cat <<END

Address      $address
Home         $GUARDHOUSE_HOME
Agent        a sample agent of trust 2; its token is in sample-agent.token there

Paste this into another terminal:

curl -s $address/v1/check_guardrails \\
  -H 'Authorization: Bearer $(cat "$sample")' \\
  -H 'Content-Type: application/json' \\
  -d '{"operation_text": "git push --force origin main"}'

Or give it to a coding agent as MCP tools. MCP is asking: the agent calls them by its own choice; hooks are guarding.

export GUARDHOUSE_TOKEN='$(cat "$sample")'
claude mcp add --transport http guardhouse $address/mcp --header "Authorization: Bearer \$GUARDHOUSE_TOKEN"
codex mcp add guardhouse --url $address/mcp --bearer-token-env-var GUARDHOUSE_TOKEN
gemini mcp add --scope user --transport http --header 'Authorization: Bearer \${GUARDHOUSE_TOKEN}' guardhouse $address/mcp

Ctrl-C ends the gateway.
END
            return
        fi
        tries=$((tries + 1))
        sleep 0.1
    done
}
tell $$ &

exec "$BIN/guardhouse" serve
