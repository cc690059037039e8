"""Answers which series PromQL names; runs in `.venv-deploy`, which has the parser.

Standard input: a JSON list of queries. Standard output, for each: its selectors, every one with the metric's name and the
labels that it is matched by, and the labels that the query groups or joins by.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import promql_parser

CHILDREN = ("lhs", "rhs", "expr", "param", "args", "vector_selector")


def walk(node: Any, found: dict[str, Any]) -> dict[str, Any]:
    if isinstance(node, promql_parser.VectorSelector):
        labels = sorted({matcher.name for matcher in node.matchers.matchers})
        found["selectors"].append({"name": node.name, "labels": labels})
        return found
    modifier = getattr(node, "modifier", None)
    if isinstance(node, promql_parser.AggregateExpr) and modifier is not None:
        found["grouping"] += modifier.labels
    elif modifier is not None and modifier.matching is not None:
        found["grouping"] += modifier.matching.labels
    for name in CHILDREN:
        child = getattr(node, name, None)
        for each in child if isinstance(child, list) else [child]:
            if each is not None and not isinstance(each, str | int | float):
                walk(each, found)
    return found


def main() -> None:
    answers = []
    for query in json.load(sys.stdin):
        found = walk(promql_parser.parse(query), {"selectors": [], "grouping": []})
        answers.append({**found, "grouping": sorted(set(found["grouping"]))})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
