"""An engine in miniature that speaks docs/protocol.md, so that the panel's tests take seconds.

Its "model" is a grey value that parts object from background. `slow` answers late and can be cancelled, `die`
ends the process, `noise` writes what is no answer. Runs as `PythonSlicer quick_engine.py`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

SLAB = 4  # columns of voxels to a region of the list
_write = threading.Lock()
_cancelled: set[str] = set()
_running: list[str] = []


def send(**line) -> None:
    with _write:
        print(json.dumps(line), flush=True)


def load(cases: dict) -> tuple[str, np.ndarray, np.ndarray | None, dict]:
    item = cases["items"][0]
    folder = Path(item["arrays"])
    about = json.loads((folder / "case.json").read_text())
    label = np.load(folder / "label.npy") if (folder / "label.npy").exists() else None
    return item["name"], np.load(folder / "image.npy"), label, about


def guess(parameters: dict) -> tuple[str, np.ndarray, np.ndarray | None, np.ndarray]:
    """Name, segmentation, label and confidence of a case under a "model"."""
    name, image, label, _about = load(parameters["cases"])
    threshold = json.loads((Path(parameters["model"]) / "model.json").read_text())["threshold"]
    predicted = (image[0] > threshold).astype(np.uint8)
    sure = np.clip(np.abs(image[0] - threshold) / np.ptp(image[0]), 0, 1)
    given = predicted if label is None else label
    return (
        name,
        predicted,
        label,
        np.where(given == predicted, 0.5 + sure / 2, 0.5 - sure / 2).astype(np.float32),
    )


def save(out: str, name: str, array: np.ndarray) -> str:
    Path(out).mkdir(parents=True, exist_ok=True)
    np.save(Path(out) / name, array)
    return str(Path(out) / name)


def inspect(request: dict, parameters: dict) -> dict:
    name, _image, _label, _about = load(parameters["cases"])
    return {"cases": [{"name": name, "classes": {"1": "ball"}, "problem": None}], "problems": 0}


def train(request: dict, parameters: dict) -> dict:
    _name, image, label, _about = load(parameters["cases"])
    for step in range(4):
        progress(request, 25.0 * step, 4.0 - step)
    threshold = float(image[0][label > 0].mean() + image[0][label == 0].mean()) / 2
    Path(parameters["out"]).mkdir(parents=True)
    (Path(parameters["out"]) / "model.json").write_text(json.dumps({"threshold": threshold}))
    (Path(parameters["out"]) / "configs").mkdir()
    plan = {"network": "Threshold", "dims": 3, "class_names": {"1": "ball"}}
    metadata = json.dumps({"dalesegment": {"plan": plan}})
    (Path(parameters["out"]) / "configs" / "metadata.json").write_text(metadata)
    history = [{"epoch": e, "loss": 1.0 / e, "validation_dice": 1 - 1.0 / e} for e in range(1, 4)]
    answer = {
        "model": parameters["out"],
        "run": parameters["out"],
        "epochs": 3,
        "seconds": 0.1,
        "device": "cpu",
    }
    return {**answer, "validation_dice": None, "history": history}


def finetune(request: dict, parameters: dict) -> dict:
    trusted = np.load(Path(parameters["cases"]["items"][0]["arrays"]) / "trusted.npy")
    objections = Path(parameters["model"]) / "objection.txt"  # a test puts it there
    objection = objections.read_text() if objections.exists() else ""
    return {
        **train(request, parameters),
        "confirmed_voxels": int(trusted.sum()),
        "confirmed_violated": 40 if objection else 0,
        "accepted": not objection,
        "objections": [objection] if objection else [],
    }


def confidence(request: dict, parameters: dict) -> dict:
    name, predicted, label, sure = guess(parameters)
    path = save(parameters["out"], "confidence.npy", sure)
    item = {"name": name, "confidence": path, "shown": path, "mean_confidence": float(sure.mean())}
    item |= label_source(parameters, label != predicted)
    return {"items": [{**item, "extents": extents(int((label > 0).sum()))}], "too_weak": too_weak(parameters)}


def too_weak(parameters: dict) -> list[dict]:
    """A file beside the model says that it is, in a sentence."""
    file = Path(parameters["model"]) / "too-weak.txt"
    return [{"label_value": 1, "sentence": file.read_text()}] if file.exists() else []


def label_source(parameters: dict, moved: np.ndarray) -> dict:
    """With a file beside the model, what the label lacks under it was learned all the same."""
    if not (Path(parameters["model"]) / "learned-otherwise").exists():
        return {"label_source": None, "source_names": {}, "learned_otherwise": {}}
    path = save(parameters["out"], "label_source.npy", np.where(moved, 5, 0).astype(np.uint8))
    counts = {"missed_objects": int(moved.sum())}
    return {"label_source": path, "source_names": {"0": "given", "5": "missed_objects"}, "learned_otherwise": counts}


def extents(voxels: int) -> dict:
    """Of 2 mm³ each; the diameter is none."""
    ml = 0.002 * voxels
    interval = {"value": ml, "low": 0.9 * ml, "high": 1.2 * ml}
    unknown = {"value": 20.0, "low": None, "high": None}
    return {"1": {"name": "ball", "volume_ml": interval, "diameter_mm": unknown, "level": 0.9}} if voxels else {}


def review(request: dict, parameters: dict) -> dict:
    name, predicted, label, sure = guess(parameters)
    *_rest, about = load(parameters["cases"])
    affine = ras(about["geometry"])
    wrong = predicted != label
    slabs = [wrong & (np.arange(wrong.shape[2]) // SLAB == n) for n in range(wrong.shape[2] // SLAB)]
    region_map, regions, changes = np.zeros(wrong.shape, np.uint16), [], {}
    for mask in sorted((s for s in slabs if s.any()), key=lambda s: -int(s.sum())):
        rank = len(regions) + 1
        region_map[mask] = rank
        if (mask & (label > 0)).any():
            changes[str(rank)] = change(mask, wrong, label)
        where = np.argwhere(mask)[:, ::-1]
        centre = where[len(where) // 2]
        regions.append(
            {
                "rank": rank,
                "case": name,
                "region_id": rank,
                "label_value": 1,
                "class_name": "ball",
                "suspicion": "too large",
                "suggested_value": 0,
                "voxels": len(where),
                "size_mm3": 2.0 * len(where),
                "mean_confidence": float(sure[mask].mean()),
                "lowest_confidence": float(sure[mask].min()),
                "expected_wrong": float(len(where)),
                "centre_ras": (affine @ [*centre, 1])[:3].tolist(),
                "centre_voxel": centre.tolist(),
                "first_voxel": where.min(axis=0).tolist(),
                "last_voxel": where.max(axis=0).tolist(),
                "suggested_name": "background",
                "model_probability": 0.9,
                "trained_on": True,
            }
        )
    if too_weak(parameters):
        region_map[:], regions = 0, []
    item = confidence(request, parameters)["items"][0]
    item["regions_map"] = save(parameters["out"], "regions.npy", region_map)
    suggestions = Path(parameters["out"]) / "suggestions.json"
    suggestions.write_text(json.dumps(changes), encoding="utf-8")
    item |= {"suggestions": str(suggestions), "classes": {"1": "ball"}}
    if (Path(parameters["model"]) / "pieces").exists():
        regions = [row_of(regions[:3]), *regions[3:]]
    many = Path(parameters["model"]) / "regions"
    if many.exists():
        regions = repeated(regions, int(many.read_text()), label.shape)
    if item["label_source"]:
        learned = {"label_source": "missed_objects", "learned_value": 1, "learned_class": "ball"}
        regions = [{**region, **learned, "learned_voxels": region["voxels"]} for region in regions]
    about = {"too_weak": too_weak(parameters), "expected_real": expected_real(regions)}
    return {"regions": regions, "csv": "", "json": "", "items": [item], **about}


def repeated(regions: list[dict], count: int, shape: tuple[int, ...]) -> list[dict]:
    """So many rows, each about a voxel of its own."""
    voxels = np.unravel_index(np.arange(count) * (int(np.prod(shape)) // count), shape)
    places = np.stack(voxels[::-1], axis=1).tolist()
    names = ("too large", "too small", "missing", "extra")
    return [
        {
            **regions[n % len(regions)],
            "rank": n + 1,
            "region_id": n + 1,
            "suspicion": names[n % 4],
            "voxels": 1 + n % 97,
            "size_mm3": 2.0 * (1 + n % 97),
            "centre_voxel": place,
            "first_voxel": place,
            "last_voxel": place,
        }
        for n, place in enumerate(places)
    ]


def change(mask: np.ndarray, wrong: np.ndarray, label: np.ndarray) -> dict:
    """All of it is surely wrong, and a column of labelled voxels before it is likely so."""
    mask = mask & (label > 0)
    wide = mask | (np.roll(mask, -1, axis=2) & (label > 0) & ~wrong)
    corners = [(int(n.min()), int(n.max())) for n in np.nonzero(wide)]
    box = tuple(slice(a, b + 1) for a, b in corners)
    return {
        "first_voxel": [a for a, _b in reversed(corners)],
        "last_voxel": [b for _a, b in reversed(corners)],
        "sure": runs(mask[box]),
        "likely": runs(wide[box]),
    }


def runs(mask: np.ndarray) -> list[list[int]]:
    edges = np.flatnonzero(np.diff(mask.ravel().astype(int), prepend=0, append=0))
    return [[int(a), int(b - a)] for a, b in zip(edges[::2], edges[1::2], strict=True)]


def row_of(pieces: list[dict]) -> dict:
    """The first three regions as one row, the way the engine says it."""
    first, last = ([p[f"{end}_voxel"] for p in pieces] for end in ("first", "last"))
    sums = {key: sum(p[key] for p in pieces) for key in ("voxels", "size_mm3", "expected_wrong")}
    box = {"first_voxel": np.min(first, 0).tolist(), "last_voxel": np.max(last, 0).tolist()}
    return {**pieces[0], **sums, **box, "pieces": [{**p, "rank": 1} for p in pieces]}


def prompt(request: dict, parameters: dict) -> dict:
    """What is bright, in a box of 10 voxels around the strokes and without the columns that were drawn over outside; of
    a correction, what is drawn, with what was drawn over inside and without these columns."""
    name, image, label, _about = load(parameters["cases"])
    strokes = np.array(parameters["inside"] + parameters["outside"])
    first = np.maximum(strokes.min(0) - 10, 0)
    last = np.minimum(strokes.max(0) + 10, np.array(image.shape[:0:-1]) - 1)
    corrects = parameters.get("label_value") is not None
    bright = label == parameters["label_value"] if corrects else image[0] > 50
    for i, j, k in parameters["inside"]:
        bright[k, j, i] = True
    for i, _j, _k in parameters["outside"]:
        bright[:, :, i] = False
    mask = bright[tuple(slice(a, b + 1) for a, b in zip(first[::-1], last[::-1], strict=True))]
    by = "model" if parameters.get("value") else "intensities"
    return {
        "name": name,
        "first_voxel": first.tolist(),
        "last_voxel": last.tolist(),
        "runs": runs(mask),
        "by": by,
        "corrects": corrects,
    }


def expected_real(regions: list[dict]) -> dict:
    """Half of them."""
    half = len(regions) / 2
    sentence = f"Of {len(regions)} regions, about {half:g} are expected to be real label errors." if regions else ""
    return {"rows": len(regions), "expected": half, "sentence": sentence}


def ras(geometry: dict) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(geometry["direction"], (3, 3)) * geometry["spacing"]
    affine[:3, 3] = geometry["origin"]
    return np.diag([-1, -1, 1, 1]) @ affine


def refresh(request: dict, parameters: dict) -> dict:
    out = Path(parameters["out"])
    if parameters.get("region") is not None:
        now = {**parameters, "out": str(out / "first")}
        tell_region(request, now, confidence(request, now)["items"][0])
    answer = finetune(request, {**parameters, "out": str(out / "model")})
    learned = {**parameters, "model": answer["model"], "out": str(out / "maps")}
    item = confidence(request, learned)["items"][0] | predict(request, learned)["items"][0]
    if parameters.get("region") is not None:
        tell_region(request, parameters, item)
        while (Path(parameters["model"]) / "stop-after-region").exists():  # a file beside the model
            progress(request, 80.0, 1.0)
    return {**answer, "items": [item]}


def tell_region(request: dict, parameters: dict, item: dict) -> None:
    region = parameters["region"]
    assert region["case"] == item["name"]
    corners = zip(reversed(region["first_voxel"]), reversed(region["last_voxel"]), strict=True)
    part = np.load(item["shown"])[tuple(slice(a, b + 1) for a, b in corners)]
    told = {**region, "shown": save(parameters["out"], "region_shown.npy", part)}
    line = {"percent": 80.0, "seconds_left": None, "stage": "writing", "message": "The corrected region is ready"}
    send(id=request["id"], event="progress", values={"region": told}, **line)


def plan(request: dict, parameters: dict) -> dict:
    shape = {"network": "Threshold", "dims": 3, "patch_size": [32, 32, 16], "spacing": None}
    return {**shape, "device": "cpu", "classes": 2}


def doctor(request: dict, parameters: dict) -> dict:
    good = {"name": "GPU", "ok": True, "value": "none, the CPU is used", "advice": ""}
    bad = {"name": "monai", "ok": False, "value": "missing", "advice": "Install monai 1.4 or newer."}
    return {"checks": [good, bad]}


def predict(request: dict, parameters: dict) -> dict:
    name, predicted, _label, _sure = guess(parameters)
    voxels = {"1": int(predicted.sum())}
    path = save(parameters["out"], "segmentation.npy", predicted)
    item = {"name": name, "segmentation": path, "probabilities": None, "classes": {"1": "ball"}}
    if parameters.get("probabilities"):
        both = np.stack([1 - predicted, predicted]).astype(np.float32)
        item["probabilities"] = save(parameters["out"], "probabilities.npy", both)
    return {"items": [{**item, "voxels": voxels, "seconds": 0.1, "extents": extents(voxels["1"])}]}


def real(command: str):
    """The engine's own job: those that take no model are quick themselves."""

    def job(request: dict, parameters: dict) -> dict:
        from DALESegmentLib.engine.core.progress import Progress
        from DALESegmentLib.engine.rpc.job_registry import JOBS as OF_ENGINE

        return OF_ENGINE[command](parameters, Progress())

    return job


def slow(request: dict, parameters: dict) -> dict:
    for step in range(200):
        progress(request, step / 2, (200 - step) / 20)
    return {}


def deaf(request: dict, parameters: dict) -> dict:
    """A call that does not look whether it should stop."""
    send(id=request["id"], event="progress", values={}, percent=5.0, seconds_left=None, stage="reading", message="Deaf")
    time.sleep(60)
    return {}


def noise(request: dict, parameters: dict) -> dict:
    sys.stdout.write('not JSON\n"only a text"\n{"no": "event"}\n{"id": "999", "event": "result", "result": {}}\n')
    sys.stderr.write("a warning of some library\n")
    return {"text": "ümläut " + "x" * parameters.get("length", 0)}


def progress(request: dict, percent: float, left: float) -> None:
    time.sleep(0.05)
    if request["id"] in _cancelled:
        raise InterruptedError
    line = {"percent": percent, "seconds_left": left, "stage": "training", "message": f"{percent:.0f} %"}
    send(id=request["id"], event="progress", values={}, **line)


JOBS = {
    f.__name__: f
    for f in (inspect, train, finetune, confidence, review, refresh, plan, doctor, predict, prompt, slow, deaf, noise)
}
JOBS |= {command: real(command) for command in ("agreement", "report", "raters")}


def work(request: dict) -> None:
    try:
        _running.append(request["id"])
        answer = JOBS[request["command"]](request, request["parameters"])
        send(id=request["id"], event="result", result=answer)
    except InterruptedError:
        send(id=request["id"], event="error", code="cancelled", sentence="Cancelled.")
    except KeyError:
        send(id=request["id"], event="error", code="bad-request", sentence="There is no such command.")
    except Exception as problem:
        sentence = getattr(problem, "sentence", repr(problem))
        send(id=request["id"], event="error", code=getattr(problem, "code", "internal"), sentence=sentence)


def main() -> None:
    send(event="ready", protocol=1, version="0", pid=os.getpid())
    for line in sys.stdin:
        request = json.loads(line)
        command, parameters = request["command"], request["parameters"]
        if command == "die":
            os._exit(int(parameters.get("code", 3)))
        if command in ("ping", "shutdown", "cancel"):
            if command == "cancel":
                _cancelled.update([parameters["target"]] if "target" in parameters else _running)
            environment = {name: os.environ.get(name, "") for name in ("PYTHONPATH", "GOMP_SPINCOUNT")}
            send(id=request["id"], event="result", result=environment if command == "ping" else {})
            if command == "shutdown":
                return
        else:
            threading.Thread(target=work, args=(request,), daemon=True).start()


if __name__ == "__main__":
    main()
