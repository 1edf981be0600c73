"""Train one model over several sites, see docs/federated.md.

python -m DALESegmentLib.federated plan CASES_OR_MODEL --out plan.json
python -m DALESegmentLib.federated check plan.json CASES
python -m DALESegmentLib.federated job plan.json --sites 2 --out JOB
python -m DALESegmentLib.federated simulate plan.json --site NAME=CASES --site NAME=CASES --out OUT
python -m DALESegmentLib.federated bundle plan.json FL_global_model.pt --out RUN
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from DALESegmentLib.engine.commands.parameters import CasesParameter
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress

from .recipe import job_files, make_agreed_plan, make_recipe, save_global, simulate
from .site_training import Rounds, Site, find_site_cases, read_plan

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True, rich_markup_mode=None)
Out = Annotated[Path, typer.Option(help="what is written; a new folder or file")]
RoundsOption = Annotated[int, typer.Option(min=1, help="how often weights are averaged")]
Epochs = Annotated[int, typer.Option(min=1, help="epochs of a round")]
Steps = Annotated[int, typer.Option(min=1, help="steps of an epoch")]
Seed = Annotated[int, typer.Option(min=0)]
Method = Annotated[Literal["dale", "plain"], typer.Option()]


@app.command()
def plan(source: Path, out: Out = Path("plan.json"), network: Annotated[str | None, typer.Option()] = None) -> None:
    """Write the plan that all sites train by, from one site's cases or from a model."""
    made = make_agreed_plan(source, out, network=network)
    print(
        f"{out}: {made.network}, {made.channels} image(s), classes {', '.join(made.class_names.values()) or 'unnamed'}"
    )


@app.command()
def check(plan: Path, cases: Path) -> None:
    """Say whether a site's cases fit the plan."""
    found = find_site_cases(read_plan(plan), CasesParameter(folder=cases), Progress())
    print(f"{len(found)} cases fit {plan.name}.")


@app.command()
def job(
    plan: Path,
    sites: Annotated[int, typer.Option(min=1, help="without whom no round begins")],
    out: Out,
    rounds: RoundsOption = 10,
    epochs: Epochs = 1,
    steps: Steps = 50,
    seed: Seed = 0,
    method: Method = "dale",
) -> None:
    """Write the job that NVFlare's server is given."""
    plan, target = plan.resolve(), out.resolve()
    with job_files() as scratch:
        make_recipe(plan, Rounds(rounds, epochs, steps, seed, method), sites, scratch).export(str(target))
    print(out)


@app.command("simulate")
def simulate_command(
    plan: Path,
    site: Annotated[list[str], typer.Option(help="NAME=FOLDER of its cases; once for each site")],
    out: Out,
    rounds: RoundsOption = 10,
    epochs: Epochs = 1,
    steps: Steps = 50,
    seed: Seed = 0,
    method: Method = "dale",
) -> None:
    """Train with NVFlare's simulator on this machine, to try it."""
    folders = dict(each.partition("=")[::2] for each in site)
    if len(folders) != len(site) or not all(folders.values()):
        raise EngineError("wrong-sites", "Name each site once, as --site NAME=FOLDER.")
    sites = {
        name: Site(
            plan=plan.resolve(),
            cases=CasesParameter(folder=Path(folder).resolve()),
            folder=(out / "sites" / name).resolve(),
        )
        for name, folder in folders.items()
    }
    print(simulate(plan, Rounds(rounds, epochs, steps, seed, method), sites, out)["model"])


@app.command()
def bundle(plan: Path, weights: Path, out: Out) -> None:
    """Write the server's weights as a model for predict and the panel."""
    print(save_global(read_plan(plan), weights, out))


def main() -> int:
    """Returns the exit status; what the user can mend is one sentence."""
    try:
        app()
    except EngineError as error:
        print(error.sentence, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
