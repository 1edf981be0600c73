"""Volumes and longest diameters in words, with their 90 % intervals where the model knows them."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _


def extents(item: dict[str, Any]) -> str:
    """ "tumour 12.30 ml (90 %: 10.10 to 14.90), longest diameter 31.0 mm (90 %: 28.0 to 35.0); oedema …" of an answer's
    case; empty where there is no class in it."""
    return "; ".join(_class(extent) for extent in item["extents"].values())


def _class(extent: dict[str, Any]) -> str:
    flat = "area_mm2" in extent
    size = _figure(extent["area_mm2"], "mm²", 0) if flat else _figure(extent["volume_ml"], "ml", 2)
    diameter = _figure(extent["diameter_mm"], "mm", 1)
    return _("{name} {size}, longest diameter {diameter}").format(name=extent["name"], size=size, diameter=diameter)


def _figure(figure: dict[str, float | None], unit: str, digits: int) -> str:
    value = f"{figure['value']:.{digits}f} {unit}"
    if figure["low"] is None:
        return value
    ends = {end: f"{figure[end]:.{digits}f}" for end in ("low", "high")}
    return _("{value} (90 %: {low} to {high})").format(value=value, **ends)
