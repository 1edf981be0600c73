"""Two sites that train together through NVFlare's simulator, against the same training in one place.

    python -m benchmarks.federated --data FOLDER [--seeds 0,1] [--cases 16] [--tests 10] [--rounds 5] [--steps 40]

Both start from the same weights, with the same plan and the same number of steps (a site's, over all rounds); the one
place has the cases of both sites. Dice is the mean over classes and cases that neither learned from. The cases are of
MSD hippocampus, where each is a patient.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.small_plan import slimmed
from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.commands.dataset import find_labelled, survey
from DALESegmentLib.engine.commands.parameters import CasesParameter
from DALESegmentLib.engine.commands.prepared_cases import prepare_source
from DALESegmentLib.engine.core.files import write_json
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.inference.predictor import Predictor
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.plan import Plan, make_plan
from DALESegmentLib.engine.training.validation import validation_dice
from DALESegmentLib.federated.recipe import simulate
from DALESegmentLib.federated.site_training import Rounds, Site, SiteTraining


def cases_of(folders: Sequence[Path]) -> CasesParameter:
    """Of MSD hippocampus: a folder is a patient."""
    items = [{"name": f.name, "images": [f / "image.nii.gz"], "label": f / "label.nii.gz"} for f in folders]
    return CasesParameter.model_validate({"items": items})


def small_plan(folders: Sequence[Path], out: Path) -> Plan:
    """Written to `out`: the engine's plan with half of the filters."""
    cases = cases_of(folders)
    plan = make_plan(survey(find_labelled(cases, Progress(), cases.find_to_learn()), Progress()), device="cpu")
    arguments = slimmed(plan.network_arguments, 0.5, 3)
    plan = plan.model_copy(update={"network_arguments": arguments, "batch_size": 2, "trained_on": None})
    write_json(out, plan.model_dump(mode="json"))
    return plan


def score(model: Path, folders: Sequence[Path]) -> float:
    """Mean Dice of a run's model."""
    device, cases = torch.device("cpu"), cases_of(folders)
    network, plan = load_bundle(model, device)
    sources = find_labelled(cases, Progress(), cases.find_to_learn(), plan.class_names)
    found = validation_dice(
        [prepare_source(source, plan, Progress()) for source in sources],
        Predictor(network, plan, device),
        Progress(),
    )
    assert found is not None
    return found


def compare(
    parts: Sequence[Sequence[Path]],
    tests: Sequence[Path],
    rounds: Rounds,
    work: Path,
    *,
    validation: float = 0.0,
    change: Any = None,
) -> dict[str, Any]:
    """parts: the cases of each site; validation: the share that each site validates on; change: as `simulate` takes it.
    Leaves what both wrote in `work`."""
    work.mkdir(parents=True, exist_ok=True)
    plan_file = work / "plan.json"
    plan = small_plan(parts[0], plan_file)
    sites = {
        f"site-{n}": Site(
            plan=plan_file, cases=cases_of(part), folder=work / f"kept-{n}", validation=validation, device="cpu"
        )
        for n, part in enumerate(parts, 1)
    }
    simulate(plan_file, rounds, sites, work / "together", change=change)
    everyone = [folder for part in parts for folder in part]
    one = Site(plan=plan_file, cases=cases_of(everyone), folder=work / "one", validation=0.0, device="cpu")
    torch.manual_seed(rounds.seed)
    first = build(plan.network, plan.network_arguments).state_dict()
    alone = SiteTraining(
        Rounds(1, rounds.rounds * rounds.epochs, rounds.steps, rounds.seed, rounds.method), one, first=True
    )
    alone.train_round(first)
    alone.close()
    dice = {
        "together": score(work / "together" / "run", tests),
        "in_one_place": score(work / "one", tests),
        **{name: score(site.folder, tests) for name, site in sites.items()},
    }
    return {
        "seed": rounds.seed,
        "cases": [len(part) for part in parts],
        "tests": len(tests),
        "rounds": rounds.rounds,
        "steps": rounds.rounds * rounds.epochs * rounds.steps,
        "dice": {name: round(value, 4) for name, value in dice.items()},
        "points_below_one_place": round(100 * (dice["in_one_place"] - dice["together"]), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--cases", type=int, default=16, help="of both sites")
    parser.add_argument("--tests", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="of a round")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    folders = sorted((asked.data / "msd_hippocampus").glob("hippocampus_*"))[: asked.cases + asked.tests]
    learned, tests = folders[: asked.cases], folders[asked.cases :]
    for seed in map(int, asked.seeds.split(",")):
        with TemporaryDirectory() as work:
            rounds = Rounds(asked.rounds, 1, asked.steps, seed)
            print(json.dumps(compare([learned[::2], learned[1::2]], tests, rounds, Path(work))), flush=True)


if __name__ == "__main__":
    main()
