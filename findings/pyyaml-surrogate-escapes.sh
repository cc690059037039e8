#!/bin/sh
# PyYAML 6.0.3: an emoji in a double-quoted string, written as the pair of escapes that JSON writers use, is read as two
# half surrogates by SafeLoader, and refused by CSafeLoader.
#
# Most would expect: YAML 1.2 was made a superset of JSON, so the text that json.dumps gives for an emoji,
# "\ud83d\ude00", is the emoji to a YAML reader too; and yaml.safe_load and its C twin read the same documents.
# Seen instead: SafeLoader gives a string of two code points that no UTF-8 can carry, and says nothing: it breaks where it
# is written, sent or hashed. CSafeLoader, which many programs take where it is there, refuses the document.
#
# Output seen:
#   PyYAML 6.0.3
#   json.loads:   1 character, UTF-8 carries it
#   SafeLoader:   2 characters, UTF-8 cannot carry them
#   CSafeLoader:  refused: found invalid Unicode character escape code
#
# Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet PyYAML==6.0.3
cat > "$folder/read.py" <<'PYTHON'
import json
import sys

import yaml

text = json.dumps("\N{GRINNING FACE}")


def told(read):
    try:
        found = read(text)
    except yaml.YAMLError as error:
        return f"refused: {error.problem}"
    try:
        found.encode()
    except UnicodeEncodeError:
        return f"{len(found)} characters, UTF-8 cannot carry them"
    return f"{len(found)} character, UTF-8 carries it"


by_json = told(json.loads)
by_python = told(lambda text: yaml.load(text, Loader=yaml.SafeLoader))
by_c = told(lambda text: yaml.load(text, Loader=yaml.CSafeLoader))
print("PyYAML", yaml.__version__)
print("json.loads:  ", by_json)
print("SafeLoader:  ", by_python)
print("CSafeLoader: ", by_c)
as_seen = (
    by_json == "1 character, UTF-8 carries it"
    and by_python == "2 characters, UTF-8 cannot carry them"
    and by_c == "refused: found invalid Unicode character escape code"
)
sys.exit(0 if as_seen else 1)
PYTHON
"$folder/venv/bin/python" "$folder/read.py"
