"""One POSIX shell script in which each example is a function that makes the call with curl."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable

from generators.example import FILE_PARTS, Example
from generators.literal import Literals

LITERALS = Literals("true", "false", "null", indent="  ", picture="{}", last="")
WIDTH = 120

START = r"""#!/bin/sh
# Every call of Kerascope with curl, a function each.
#
# `sh examples.sh` lists them, and `sh examples.sh cam occlusion` makes those two calls. KERASCOPE_URL and KERASCOPE_KEY
# in the environment say where the service is and with which key it is called. Pictures within JSON stay there: most
# methods answer one alone to `?format=png`. `make docs` writes this file from requests/.
set -eu
HERE=$(dirname "$0")
URL=${KERASCOPE_URL:-http://127.0.0.1:8000}
ANSWER=$(mktemp)
trap 'rm -f "$ANSWER"' EXIT

# Runs curl with the key.
curl_with_key() {
  curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"} "$@"
}

# Makes a call with what curl takes and writes the answer; a problem ends the script and says what was wrong.
call() {
  : >"$ANSWER"
  status=$(curl_with_key --output "$ANSWER" --write-out '%{http_code}' "$@")
  if [ "$status" -ge 400 ]; then
    echo "$status: $(text_of 'detail|error')" >&2
    exit 1
  fi
  cat "$ANSWER"
}

# Writes the first text of that name in the last answer.
text_of() {
  grep -oE "\"($1)\":\"([^\"\\\\]|\\\\.)*\"" "$ANSWER" | head -n 1 | sed -E 's/^"[a-z]+":"(.*)"$/\1/; s/\\(["\\])/\1/g'
}

# Writes a file that lies beside this one as JSON holds it.
base64_of() {
  base64 <"$HERE/$1" | tr -d '\n'
}

# Waits for a job's end, which is where its events end.
wait_for() {
  curl_with_key --no-buffer "$URL/v1/jobs/$1/events" >/dev/null
}
"""

END = r"""
# Lists the examples: each stands below a line that begins with two hashes.
list() {
  awk '/^## / { summary = substr($0, 4); getline; sub(/\(.*/, ""); printf "%-28s%s\n", $0, summary }' "$0"
}

[ $# -gt 0 ] || list
for name; do
  list | cut -d ' ' -f 1 | grep -Fqx -- "$name" || {
    echo "there is no example '$name'; examples.sh without a name lists them" >&2
    exit 2
  }
done
for name; do
  [ $# -eq 1 ] || printf '\n==> %s\n' "$name"
  "$name"
done
"""


def script(examples: Iterable[Example]) -> str:
    """Gives the whole file."""
    return START + "".join(f"\n## {each.summary}\n{each.name}() {{\n{_body(each)}}}\n" for each in examples) + END


def _body(example: Example) -> str:
    lines = []
    if example.of_job:
        lines += [f"{example.after} >/dev/null", "job=$(text_of id)"]
    if example.finished:
        lines.append('wait_for "$job"')
    function = "curl_with_key" if example.gives_events else "call"
    parts = [f'{function} "$URL{example.target.replace("{job}", "$job")}"', *_options(example)]
    if example.gives_picture:
        parts.append(f">{example.name}.png")
    if example.pictures_sent:
        parts.append("<<END")
    line = " ".join(parts)
    lines.append(line if len(line) + 2 <= WIDTH else " \\\n    ".join(parts))
    return "".join(f"  {line}\n" for line in lines) + (_document(example) if example.pictures_sent else "")


def _options(example: Example) -> list[str]:
    options = []
    if example.method != ("POST" if example.file or example.form or example.json else "GET"):
        options.append(f"--request {example.method}")
    if example.gives_events:
        options.append("--no-buffer")
    options += [f"--header {shlex.quote(f'{name}: {value}')}" for name, value in example.headers.items()]
    if example.file:
        options.append(f'--data-binary @"$HERE/{example.file}"')
    for name, value in example.form.items():
        options.append(f'--form {name}=@"$HERE/{value}"' if name in FILE_PARTS else f"--form {name}={value}")
    if example.json is not None:
        options.append("--header 'Content-Type: application/json'")
        options.append("--data @-" if example.pictures_sent else f"--data {shlex.quote(json.dumps(example.json))}")
    return options


def _document(example: Example) -> str:
    """The body with its pictures in base64, which are too long for an argument of curl."""
    text = re.sub(r"([\\$`])", r"\\\1", LITERALS.write(example.json))
    return re.sub(r'"([^"]+\.png)"', r'"$(base64_of \1)"', text) + "\nEND\n"
