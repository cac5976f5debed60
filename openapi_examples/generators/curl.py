"""A shell script that makes the call with curl."""

from __future__ import annotations

import json
import re
import shlex

from generators.example import FILE_PARTS, Example


def script(example: Example) -> str:
    """Prints the answer; a picture is saved."""
    parts = ['curl --silent --show-error ${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"}']
    piped = ""
    if example.method != ("POST" if example.file or example.form or example.json else "GET"):
        parts.append(f"--request {example.method}")
    parts += [f"--header {shlex.quote(f'{name}: {value}')}" for name, value in example.headers.items()]
    if example.file:
        parts.append(f'--data-binary @"$EXAMPLES/{example.file}"')
    for name, value in (example.form or {}).items():
        parts.append(f'--form {name}=@"$EXAMPLES/{value}"' if name in FILE_PARTS else f"--form {name}={value}")
    if example.json is not None:
        parts.append("--header 'Content-Type: application/json'")
        if example.pictures_sent:
            piped = _printed(example) + " |\n  "
            parts.append("--data-binary @-")
        else:
            parts.append(f"--data {shlex.quote(json.dumps(example.json))}")
    if example.form_of_answer == "png":
        parts.append(f"--output {example.name}.png")
    if example.form_of_answer == "events":
        parts.append("--no-buffer")
    parts.append(f'"$URL{example.target.replace("{job}", "$JOB")}"')
    call = " \\\n  ".join(parts)
    return (
        f"#!/bin/sh\n# {example.summary}.\nset -eu\n"
        f'EXAMPLES="$(dirname "$0")/.."\nURL="${{KERASCOPE_URL:-http://127.0.0.1:8000}}"\n{_before(example)}{piped}{call}\n'
    )


def _printed(example: Example) -> str:
    """The body with its pictures in base64: too long for an argument of curl."""
    text = json.dumps(example.json).replace("\\", "\\\\").replace("%", "%%")
    files = re.findall(r'"([^"]+\.png)"', text)
    text = re.sub(r'"[^"]+\.png"', '"%s"', text)
    return " ".join(["printf", shlex.quote(text), *(f'"$(base64 -w0 "$EXAMPLES/{file}")"' for file in files)])


def _before(example: Example) -> str:
    """Lines that make what an example is about, and wait for the end of a job where it must have one."""
    if example.after is None:
        return ""
    script = f'"$EXAMPLES/curl/{example.after.name}.sh"'
    if not example.of_job:
        return f"{script} >/dev/null\n"
    lines = f"""JOB=$({script} | sed 's/.*"id":"\\([^"]*\\)".*/\\1/')\n"""
    if example.finished:
        key = '${KERASCOPE_KEY:+--header "Authorization: Bearer $KERASCOPE_KEY"}'
        lines += f'curl --silent --no-buffer {key} "$URL/v1/jobs/$JOB/events" >/dev/null\n'
    return lines
