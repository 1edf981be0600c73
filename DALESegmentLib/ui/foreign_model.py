"""What a model of another program is, in a line, from its files; nothing of it is executed. Whether all that it needs
is known here is found out, and said, when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from DALESegmentLib.engine.bundle.run_folder import fold_of
from DALESegmentLib.engine.core.files import read_json

LIMITS = _(
    "Confidence follows from its predictions alone; there are no intervals of measurements and no warning of images "
    "unlike those it learned from."
)


def nnunetInfo(folder: Path, model: Path) -> str:
    """folder: the result folder; model: as it was chosen, which may name one fold. Raises what reading JSON raises,
    KeyError, TypeError, ValueError."""
    plans, dataset = read_json(folder / "plans.json"), read_json(folder / "dataset.json")
    configuration = folder.name.rpartition("__")[2]
    about = _inherited(plans["configurations"], configuration)
    labels = dataset["labels"]
    names = [name for name, value in labels.items() if value != 0 and name != "ignore"]
    fold = fold_of(model)
    folds = [fold] if fold else [path.name for path in sorted(folder.glob("fold_*")) if any(path.glob("checkpoint_*"))]
    text = _("nnU-Net v2, {configuration}: {network} in {dims}D for {names}; {folds}.")
    lines = [
        text.format(
            configuration=configuration,
            network=_network(about),
            dims=len(about["patch_size"]),
            names=", ".join(names),
            folds=", ".join(folds) or _("no finished fold"),
        )
    ]
    if about.get("previous_stage"):
        lines.append(_("It is a cascade, which cannot be used; take its probabilities instead."))
    elif any(isinstance(value, list) for value in labels.values()):
        lines.append(_("Its classes are regions that hold each other: it can be applied, not trained on."))
    elif len(folds) > 1:
        lines.append(_("A fine-tune learns with the first fold alone."))
    return " ".join([*lines, LIMITS])


def monaiInfo(bundle: Path) -> str:
    """Raises as `nnunetInfo`."""
    metadata = read_json(bundle / "configs" / "metadata.json")
    config = bundle / "configs" / "inference.json"
    described = read_json(config).get("network_def", {}) if config.is_file() else {}
    network = str(described.get("_target_", "")).rpartition(".")[2] or _("a network")
    text = _("MONAI bundle “{name}”: {network} for {names}.")
    told = text.format(
        name=metadata.get("name") or bundle.name, network=network, names=_classes(metadata) or _("its classes")
    )
    return f"{told} {LIMITS}"


def _inherited(known: Mapping[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    asked: Any = name
    for _step in range(len(known)):
        found = {**known[asked], **found}
        asked = known[asked].get("inherits_from")
        if asked is None:
            break
    return found


def _network(about: Mapping[str, Any]) -> str:
    """Its class; nnU-Net's plans of before 2.3 call it otherwise."""
    known = about.get("architecture", {}).get("network_class_name") or about.get("UNet_class_name", "")
    return str(known).rpartition(".")[2] or _("a network")


def _classes(metadata: Mapping[str, Any]) -> str:
    outputs = metadata.get("network_data_format", {}).get("outputs", {}).get("pred", {}).get("channel_def", {})
    return ", ".join(str(name) for value, name in outputs.items() if value != "0" and str(name).lower() != "background")
