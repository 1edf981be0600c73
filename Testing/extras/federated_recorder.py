"""A filter of NVFlare's clients that keeps every result as it leaves a site."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from nvflare.apis.filter import Filter


class ResultRecorder(Filter):
    """The last of the filters: what it is given is what is sent."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def process(self, shareable: Any, fl_ctx: Any) -> Any:
        path = Path(self.folder) / f"{fl_ctx.get_identity_name()}-{uuid4().hex}.pickle"
        path.write_bytes(pickle.dumps(list(leaves(dict(shareable)))))
        return shareable


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of nested mappings and lists, with the keys on the way to it; an array is one, as numpy's."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from leaves(each, (*path, str(key)))
    elif isinstance(value, list | tuple | set):
        for n, each in enumerate(value):
            yield from leaves(each, (*path, str(n)))
    elif isinstance(value, torch.Tensor):
        yield path, value.detach().cpu().numpy()
    elif isinstance(value, np.ndarray | np.generic | str | int | float | bool | bytes | None):
        yield path, value
    else:
        yield path, repr(type(value))
