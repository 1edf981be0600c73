"""Volumes and longest diameters in words, with their 90 % intervals where the model knows them."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

SIZES = (
    ("volume_ml", "ml", 2),
    ("area_mm2", "mm²", 0),
    ("area_px", _("pixels"), 0),
    ("volume_px", _("voxels"), 0),
)


def extents(item: dict[str, Any]) -> str:
    """ "tumour 12.30 ml (90 %: 10.10 to 14.90), longest diameter 31.0 mm (90 %: 28.0 to 35.0); oedema …" of an answer's
    case; empty where there is no class in it."""
    return "; ".join(_class(extent) for extent in item["extents"].values())


def _class(extent: dict[str, Any]) -> str:
    key, unit, digits = next(each for each in SIZES if each[0] in extent)
    size = _figure(extent[key], unit, digits)
    pixels = "diameter_px" in extent
    diameter = _figure(extent["diameter_px" if pixels else "diameter_mm"], "px" if pixels else "mm", 1)
    return _("{name} {size}, longest diameter {diameter}").format(name=extent["name"], size=size, diameter=diameter)


def _figure(figure: dict[str, float | None], unit: str, digits: int) -> str:
    value = f"{_number(figure['value'], digits)} {unit}"
    if figure["low"] is None:
        return value
    ends = {end: _number(figure[end], digits) for end in ("low", "high")}
    return _("{value} (90 %: {low} to {high})").format(value=value, **ends)


def _number(value: float, digits: int) -> str:
    """So many decimals, and of a smaller number two digits."""
    return f"{value:.{digits}f}" if not value or abs(value) >= 10.0**-digits else f"{value:.2g}"
