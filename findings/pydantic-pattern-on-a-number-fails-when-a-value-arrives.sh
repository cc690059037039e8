#!/bin/sh
# pydantic 2.14: `Field(pattern=...)` on an `int` makes a class without complaint. The first value of the field, a right one
# too, raises a bare TypeError: no ValidationError, and no other member of a union is tried, not even a `str` for a text.
#
# Most would expect: the class is refused when it is defined; or the pattern does not matter for numbers, as in JSON Schema;
# or, at the least, a ValidationError, and of `int | str` the member that fits.
# Seen instead: code that generates models from JSON Schema (where `pattern` beside "integer or string" is common: every
# Kubernetes quantity) makes models that import, take objects without the field, and raise TypeError at objects with it.
#
# Output seen:
#   pydantic 2.14.4
#   the class is made, and takes an object without the field
#   5:    TypeError: Unable to apply constraint 'pattern' to supplied value 5 for schema of type 'int'
#   "5":  TypeError: Unable to apply constraint 'pattern' to supplied value 5 for schema of type 'int'
#   "5", strict:  quantity='5'
#
# Exits with 1 if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pydantic==2.14.4 pydantic-core==2.50.5
cat > "$folder/ask.py" <<'PYTHON'
import sys
from typing import Annotated

import pydantic
from pydantic import BaseModel, Field

DIGITS = "^[0-9]+$"


class Item(BaseModel):
    quantity: Annotated[int, Field(pattern=DIGITS)] | Annotated[str, Field(pattern=DIGITS)] | None = None


def ask(value, **options):
    try:
        return str(Item.model_validate({"quantity": value}, **options))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


print("pydantic", pydantic.VERSION)
Item.model_validate({})
print("the class is made, and takes an object without the field")
number, text, strict = ask(5), ask("5"), ask("5", strict=True)
print("5:   ", number)
print('"5": ', text)
print('"5", strict: ', strict)
as_seen = number == text and number.startswith("TypeError: Unable to apply constraint 'pattern'") and "'5'" in strict
sys.exit(0 if as_seen else 1)
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
