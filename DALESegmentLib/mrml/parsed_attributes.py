"""What the text of a node's attribute says, parsed once: the panel asks many times for the same list."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

MOST = 32


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
