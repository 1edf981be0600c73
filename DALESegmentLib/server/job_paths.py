"""Names of a user's files in requests as paths of the server, and paths in answers as names."""

from __future__ import annotations

import os
from typing import Any

from ..engine.core.errors import EngineError
from ..engine.rpc.job_registry import GIVEN_PATHS, ITEM_PATHS
from ..engine.rpc.protocol import bad_request
from .user_files import UserFiles

_PATTERNS = ("image", "label", "reference", "rater", "exclude")
"""Of `cases`: they choose among the files of its folder."""


def with_paths(files: UserFiles, asked: dict[str, Any]) -> dict[str, Any]:
    """The parameters for the engine. Raises EngineError("bad-path", "bad-request")."""
    given = {key: _path(files, value) if key in GIVEN_PATHS else value for key, value in asked.items()}
    cases = asked.get("cases")
    if isinstance(cases, dict):
        given["cases"] = _with_paths(files, cases)
    return given


def with_names(files: UserFiles, value: Any) -> Any:
    """A result or a report of a job, with names in place of paths."""
    if isinstance(value, str):
        return value.replace(f"{files.root}{os.sep}", "").replace(f"{files.folder}{os.sep}", "")
    if isinstance(value, dict):
        return {with_names(files, key): with_names(files, item) for key, item in value.items()}
    return [with_names(files, item) for item in value] if isinstance(value, list) else value


def _with_paths(files: UserFiles, cases: dict[str, Any]) -> dict[str, Any]:
    if cases.get("list") is not None:
        raise bad_request("A list of cases names files that the server does not have; name a folder of cases.")
    for key in _PATTERNS:
        names = cases.get(key)
        if any(isinstance(name, str) and _leads_away(name) for name in (names if isinstance(names, list) else [names])):
            raise EngineError("bad-path", f"{key} chooses among the files of the folder; give a name without a path.")
    given = dict(cases)
    if "folder" in cases:
        given["folder"] = _path(files, cases["folder"])
    if isinstance(cases.get("items"), list):
        given["items"] = [_item(files, item) if isinstance(item, dict) else item for item in cases["items"]]
    return given


def _item(files: UserFiles, item: dict[str, Any]) -> dict[str, Any]:
    given = {key: _path(files, value) if key in ITEM_PATHS else value for key, value in item.items()}
    if isinstance(item.get("images"), list):
        given["images"] = [_path(files, image) for image in item["images"]]
    return given


def _path(files: UserFiles, name: Any) -> Any:
    return str(files.place(name)) if isinstance(name, str) else name


def _leads_away(name: str) -> bool:
    return "\\" in name or name.startswith("/") or ":" in name or ".." in name.split("/")
