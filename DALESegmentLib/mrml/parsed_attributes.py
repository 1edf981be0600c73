"""What the text of a node's attribute says, parsed once: the panel asks many times for the same list."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

MOST = 32
_WHITE = frozenset(" \t\n\r")


@dataclass(frozen=True)
class _Kept:
    """time: of the node's last change when the text was looked at."""

    time: int
    text: str
    value: Any


_kept: OrderedDict[tuple[str, Hashable], _Kept] = OrderedDict()
"""By the node's address, which another node may have later: times are never given twice."""


def parsedAttribute(node: Any, name: str, parse: Callable[[str], Any]) -> Any:
    """parse(text of the attribute, "" without one); again only where it is another text."""
    key = node.GetAddressAsString(""), name
    kept = _kept.get(key)
    if kept is None or kept.time != node.GetMTime():
        text = node.GetAttribute(name) or ""
        value = parse(text) if kept is None or kept.text != text else kept.value
        keepParsed(node, name, value, text)
    _kept.move_to_end(key)
    return _kept[key].value


def keepParsed(node: Any, name: Hashable, value: Any, text: str | None = None) -> None:
    """What `parsedAttribute` is to return while the text is as it is now."""
    said = (node.GetAttribute(name) or "" if isinstance(name, str) else "") if text is None else text
    key = node.GetAddressAsString(""), name
    _kept[key] = _Kept(node.GetMTime(), said, value)
    _kept.move_to_end(key)
    while len(_kept) > MOST:
        _kept.popitem(last=False)


def keptParsed(node: Any, name: Hashable) -> Any:
    """What was kept last, whatever changed since; None without anything."""
    kept = _kept.get((node.GetAddressAsString(""), name))
    return None if kept is None else kept.value


def jsonItems(text: str) -> Iterator[tuple[str, Any]]:
    """The keys and values of a JSON object, read one by one: other threads run in between, which json.loads holds up
    until it is done. Raises ValueError where it is none."""
    decoder, at = json.JSONDecoder(), _after(text, 0, "{")
    while text[at : at + 1] != "}":
        key, at = decoder.raw_decode(text, at)
        value, at = decoder.raw_decode(text, _after(text, at, ":"))
        yield key, value
        at = _past(text, at)
        if text[at : at + 1] != "}":
            at = _after(text, at, ",")


def _after(text: str, at: int, sign: str) -> int:
    at = _past(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(f"{sign} is missing at {at}")
    return _past(text, at + 1)


def _past(text: str, at: int) -> int:
    """Beyond white space."""
    while text[at : at + 1] in _WHITE:
        at += 1
    return at
