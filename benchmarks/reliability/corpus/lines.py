"""Lines that are no requests, are out of order, unknown, too long or hostile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .entry import Entry, line

LARGEST = 16 * 1024 * 1024


def no_requests(folder: Path) -> Iterator[Entry]:
    for name, content in {
        "an empty line": b"",
        "blanks": b"   ",
        "a word": b"hello",
        "zero bytes": b"\0" * 100,
        "all bytes": bytes(n for n in range(256) if n != 10),
        "no UTF-8": b'{"id": "\xff"}',
        "UTF-16": '{"id": "1"}'.encode("utf-16-le").replace(b"\n", b""),
        "a byte order mark": b"\xef\xbb\xbf{}",
        "null": b"null",
        "a list": b"[1, 2]",
        "a text": b'"train"',
        "a number": b"7",
        "an open object": b'{"id": "1"',
        "two objects": b"{}{}",
        "single quotes": b"{'id': '1'}",
        "deep lists": b"[" * 200_000,
        "deep objects": b'{"a":' * 200_000,
        "NaN": b'{"protocol": 1, "id": "n", "command": "ping", "parameters": {"x": NaN}}',
        "infinity": b'{"protocol": 1, "id": "n", "command": "ping", "parameters": {"x": 1e999}}',
        "a number of 10000 digits": b'{"protocol": 1, "id": "n", "command": "ping", "x": ' + b"9" * 10_000 + b"}",
        "a web request": b"GET / HTTP/1.1",
        "16 MB of a": b"a" * LARGEST,
        "40 MB of brackets": b"[" * (40 << 20),
        "20 MB in one text": b'{"protocol": 1, "id": "n", "command": "' + b"x" * (20 << 20) + b'"}',
        "15 MB of keys": b"{" + b",".join(b'"%d": 1' % n for n in range(1_200_000)) + b"}",
    }.items():
        yield line(name, content + b"\n", "refused", "bad-request")


def wrong_requests(folder: Path) -> Iterator[Entry]:
    good: dict[str, Any] = {"protocol": 1, "id": "1", "command": "plan", "parameters": {}}
    for key in ("protocol", "id", "command"):
        yield line(f"without {key}", {k: v for k, v in good.items() if k != key}, "refused", "bad-request")
    for key, values in {
        "protocol": (0, 2, "1", None, True, [1], 1.5),
        "id": (7, None, "", "x" * 201, ["a"], {}, True),
        "command": ("", "Train", "os.system", "__class__", "../train", 7, None, ["plan"], "plan\0", "x" * 10_000),
        "parameters": (None, [], "x", 7, True),
        "extra": (1,),
    }.items():
        for value in values:
            yield line(f"{key} {str(value)[:20]!r}", {**good, key: value}, "refused", "bad-request")
    for command in ("ping", "cancel", "shutdown", "doctor"):
        request = {**good, "command": command, "parameters": {"unknown": 1}}
        yield line(f"{command} with an unknown parameter", request, "refused", "bad-request")
    for command, name in (("cancel", "target"), ("doctor", "folder")):
        yield line(f"{command} of a number", {**good, "command": command, "parameters": {name: 7}}, "refused")
    yield line("a cancel of nothing", {**good, "command": "cancel", "parameters": {"target": "none"}}, "right")
    yield line("a doctor of no folder", {**good, "command": "doctor", "parameters": {"folder": "\0"}}, "either")


def wrong_parameters(folder: Path) -> Iterator[Entry]:
    out = str(folder / "out")
    cases = {"folder": str(folder / "none")}
    given = {
        "inspect": {"cases": cases},
        "plan": {"cases": cases},
        "train": {"cases": cases, "out": out},
        "finetune": {"model": str(folder), "cases": cases, "out": out},
        "predict": {"model": str(folder), "cases": cases, "out": out},
        "confidence": {"model": str(folder), "cases": cases, "out": out},
        "review": {"model": str(folder), "cases": cases, "out": out},
        "evaluate": {"cases": cases},
        "simulate": {"cases": cases, "out": out, "kind": "erode", "amount": 1.0},
    }
    for command, parameters in given.items():
        changes: dict[str, dict[str, Any]] = {
            "none": {},
            "an unknown one": {**parameters, "unknown": 1},
            "cases of a text": {**parameters, "cases": "all"},
            "cases of nothing": {**parameters, "cases": {}},
            "cases of everything": {**parameters, "cases": {**cases, "list": "a", "items": []}},
            "items of a number": {**parameters, "cases": {"items": 7}},
            "items without a name": {**parameters, "cases": {"items": [{}]}},
            "a folder with a zero byte": {**parameters, "cases": {"folder": "a\0b"}},
            "a folder that is not there": parameters,
            "a limit of 0": {**parameters, "cases": {**cases, "limit": 0}},
            "a limit of 10^30": {**parameters, "cases": {**cases, "limit": 10**30}},
        }
        if "out" in parameters:
            changes["an out of a number"] = {**parameters, "out": 7}
            changes["an out with a zero byte"] = {**parameters, "out": "a\0b"}
        for name, changed in changes.items():
            request = {"protocol": 1, "id": "1", "command": command, "parameters": changed}
            yield line(f"{command}: {name}", request)
    for name, value in (
        ("epochs", 0),
        ("epochs", "many"),
        ("epochs", 1.5),
        ("seed", -1),
        ("seed", 2**31),
        ("seconds", 0),
        ("learning_rate", -1),
        ("validation", 1),
        ("validation", -0.5),
        ("method", "magic"),
        ("network", "torch.hub.load"),
        ("device", "quantum"),
        ("device", "cuda:99"),
        ("dims", 4),
        ("dale", {"unknown": 1}),
        ("batch_size", 0),
        ("resume", "maybe"),
        ("resume", True),
    ):
        parameters = {**given["train"], name: value}
        yield line(f"train: {name} {value!r}", {"protocol": 1, "id": "1", "command": "train", "parameters": parameters})
