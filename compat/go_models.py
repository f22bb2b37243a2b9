"""The response models of the official Go SDKs, which are newer or stricter than those of the other languages.

With `GO_MODELS` naming a folder of checkouts (`cdn-20180510`, `dcdn-20180115`, `cas-20200407`, `ram-20150501` of
github.com/alibabacloud-go), each answer that passes through products.py is held against them: a field that the model has
must come with the JSON type that Go decodes into it. Without it nothing is checked.
"""

import functools
import os
import pathlib
import re

FOLDERS = {"cdn": "cdn-20180510", "dcdn": "dcdn-20180115", "cas": "cas-20200407", "ram": "ram-20150501"}
FIELD = re.compile(r'^\t\w+\s+(\S+)\s+`json:"([^",]+)')
SCALARS = {"string": str, "bool": bool, "int32": int, "int64": int, "float32": (int, float), "float64": (int, float)}
# Where models of the same date disagree: the text of the Go SDK is an object in the newer one for Python.
DISAGREE = {("DescribeDomainVerifyData", "Content")}


def check(product, action, body):
    """An assertion fails if Go would not decode this body into its model."""
    root = os.environ.get("GO_MODELS")
    if root is None:
        return
    structs = _structs(pathlib.Path(root) / FOLDERS[product] / "client", action)
    # A checkout may be older than the action.
    if structs:
        _check(structs, f"{action}ResponseBody", body, action)


@functools.cache
def _structs(folder, action):
    """The fields of each struct of the model's file: JSON name → Go type."""
    wanted = f"{action}responsebodymodel.go".lower()
    found = [file for file in folder.glob("*.go") if file.name.replace("_", "").lower() == wanted]
    structs, current = {}, None
    for line in found[0].read_text().splitlines() if found else ():
        if opened := re.match(r"type (\w+) struct {", line):
            current = structs.setdefault(opened[1], {})
        elif line == "}":
            current = None
        elif current is not None and (field := FIELD.match(line)):
            current[field[2]] = field[1]
    return structs


def _check(structs, name, body, where):
    assert isinstance(body, dict), f"{where}: {body!r} is no object"
    for member, go in structs[name].items():
        if member in body and (where, member) not in DISAGREE:
            _check_value(structs, go, body[member], f"{where}.{member}")


def _check_value(structs, go, value, where):
    if go.startswith("[]"):
        assert isinstance(value, list), f"{where}: {value!r} is no list"
        for one in value:
            _check_value(structs, go[2:], one, where)
        return
    go = go.lstrip("*")
    if go in SCALARS:
        fits = isinstance(value, SCALARS[go]) and (go == "bool" or not isinstance(value, bool))
        assert fits, f"{where}: {value!r} is no {go}"
    elif go in structs:
        _check(structs, go, value, where)
