"""The NVFlare job: its own FedAvg on the server, `site_training` at the sites, and the plan that all agreed on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from DALESegmentLib.engine.bundle.bundle import save_bundle
from DALESegmentLib.engine.bundle.open_model import open_plan
from DALESegmentLib.engine.commands.dataset import find_labelled, image_names_of, survey
from DALESegmentLib.engine.commands.parameters import CasesParameter
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.files import write_json
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.plan import Plan, make_plan

from . import site_training
from .site_training import Rounds, Site, arguments_of, find_site_cases, read_plan

NAME = "dalesegment"
SCRIPT = Path(site_training.__file__).resolve()
FIRST_WEIGHTS = "first_weights.pt"


def make_agreed_plan(source: Path, out: Path, *, device: str = "cpu", network: str | None = None) -> Plan:
    """Write the plan that all sites train by: of a model (a run or bundle), or made from one site's folder of cases.

    What the plan of a model says of the images it was trained on is left out.
    """
    try:
        plan = open_plan(source)
    except EngineError:
        cases = CasesParameter(folder=source)
        found = find_labelled(cases, Progress(), cases.find_to_learn())
        plan = make_plan(survey(found, Progress()), network=network, device=device)
        plan = plan.model_copy(update={"image_names": image_names_of(found)})
    plan = plan.model_copy(update={"trained_on": None})
    write_json(out, plan.model_dump(mode="json"))
    return plan


def make_recipe(
    plan_file: Path, rounds: Rounds, sites: int, scratch: Path, site_files: Mapping[str, Path] | None = None
) -> Any:
    """NVFlare's FedAvgRecipe. sites: without whom no round begins; scratch: of `job_files`; site_files: of the sites by
    name, in a simulation; elsewhere each site's environment names it.

    Raises EngineError("package-missing") without nvflare, and what `read_plan` does.
    """
    try:
        from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
        from nvflare.recipe import set_per_site_config
    except ImportError as error:
        raise EngineError(
            "package-missing", "Training over several sites needs nvflare; type pip install 'dalesegment[nvflare]'."
        ) from error
    plan = read_plan(plan_file)
    torch.manual_seed(rounds.seed)
    torch.save(build(plan.network, plan.network_arguments).state_dict(), scratch / FIRST_WEIGHTS)
    shutil.copy(SCRIPT, scratch)
    arguments = arguments_of(rounds, plan)
    recipe = FedAvgRecipe(
        name=NAME,
        model={
            "class_path": f"{build.__module__}.{build.__name__}",
            "args": {"name": plan.network, "arguments": plan.network_arguments},
        },
        initial_ckpt=FIRST_WEIGHTS,
        min_clients=sites,
        num_rounds=rounds.rounds,
        train_script=SCRIPT.name,
        train_args=arguments,
        key_metric="validation_dice",
    )
    if site_files is not None:
        lines = {name: f"{arguments} --site-file {file}" for name, file in site_files.items()}
        set_per_site_config(recipe, {name: {"train_args": line} for name, line in lines.items()})
    return recipe


@contextmanager
def job_files() -> Iterator[Path]:
    """A folder for a job's files as the working folder, since NVFlare packs relative paths alone into the job."""
    before = Path.cwd()
    with TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            yield Path(scratch)
        finally:
            os.chdir(before)


def simulate(
    plan_file: Path, rounds: Rounds, sites: Mapping[str, Site], out: Path, *, change: Any = None
) -> dict[str, Any]:
    """Train with NVFlare's simulator, a process a site; out: an empty folder, which gets run/bundle, the model of all,
    and nvflare/, what the server and the clients kept. change: called with the recipe, to add filters to it.

    Raises EngineError of the first site that does not fit the plan, before anything is trained, and
    ("folder-not-empty", "simulation-failed").
    """
    plan, plan_file = read_plan(plan_file), plan_file.resolve()
    for name, site in sites.items():
        _check_site(name, site)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EngineError("folder-not-empty", f"{out.name} holds other files; choose an empty or a new folder.")
    out.mkdir(parents=True, exist_ok=True)
    out = out.resolve()
    workspace = out / "nvflare"
    with job_files() as scratch:
        files = {name: scratch / f"{name}.json" for name in sites}
        for name, file in files.items():
            file.write_text(json.dumps(sites[name].model_dump(mode="json")), encoding="utf-8", newline="\n")
        recipe = make_recipe(plan_file, rounds, len(sites), scratch, files)
        if change is not None:
            change(recipe)
        from nvflare.recipe import SimEnv

        try:
            recipe.execute(SimEnv(clients=list(sites), num_threads=len(sites), workspace_root=str(workspace)))
        except RuntimeError as error:
            raise EngineError("simulation-failed", _why(sites, workspace)) from error
    return {"model": str(save_global(plan, find_global(workspace), out / "run")), "workspace": str(workspace)}


def _check_site(name: str, site: Site) -> None:
    try:
        find_site_cases(read_plan(site.plan), site.cases, Progress())
    except EngineError as error:
        raise EngineError(error.code, f"{name}: {error.sentence}") from error


def find_global(workspace: Path) -> Path:
    """The averaged weights of the last round, as the server kept them. Raises EngineError("simulation-failed")."""
    found = sorted(workspace.rglob("FL_global_model.pt"), key=os.path.getmtime)
    if not found:
        raise EngineError("simulation-failed", f"No round was finished; the logs in {workspace} say why.")
    return found[-1]


def save_global(plan: Plan, weights: Path, run_folder: Path) -> Path:
    """The server's weights as a bundle. Raises EngineError("unreadable-file")."""
    try:
        stored = torch.load(weights, map_location="cpu", weights_only=True)
        network = build(plan.network, plan.network_arguments)
        network.load_state_dict(stored.get("model", stored))
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        raise EngineError("unreadable-file", f"{weights.name} does not hold the agreed plan's network.") from error
    run_folder.mkdir(parents=True, exist_ok=True)
    return save_bundle(run_folder, network.eval(), plan, {"history": []})


def _why(sites: Mapping[str, Site], workspace: Path) -> str:
    for name, site in sites.items():
        note = site.folder.with_name(f"{site.folder.name}-error.txt")
        if note.is_file():
            return f"{name}: {note.read_text(encoding='utf-8').strip().splitlines()[-1]}"
    return f"The simulation stopped; the logs in {workspace} say why."
