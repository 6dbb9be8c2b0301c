"""`esker ci`."""

from __future__ import annotations

import os
import shlex
from functools import partial
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory, run_group
from esker.cli.directory import place

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping

    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration
    from esker.ship.ci.choices import Choices
    from esker.ship.ci.job import Job
    from esker.ship.ci.planned import Place

__all__ = ["COMMANDS", "run"]

COMMANDS = {
    "github": "write the workflow for GitHub that tests the project in its environment",
    "gitlab": "write the pipeline for GitLab that tests the project in its environment",
    "key": "print what a cache restores and saves, and the key: for jobs",
    "prepare": "install the environment as it is locked, and print a summary: for jobs",
    "export": "give the later steps of a job on GitHub the environment's variables",
    "forward": "let ports of this machine lead to a job's service containers: for jobs on GitLab",
}


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run `ci COMMAND`."""
    from esker.cli.commands import ci_job

    functions: dict[str, Callable[[list[str], Voice], int]] = {
        "github": partial(_write, "github"),
        "gitlab": partial(_write, "gitlab"),
        "key": ci_job.key,
        "prepare": ci_job.prepare,
        "export": ci_job.export,
        "forward": ci_job.forward,
    }
    return run_group(name, arguments, voice, COMMANDS, functions)


def _write(host: str, arguments: list[str], voice: Voice) -> int:
    """Write the files of a host, or compare them."""
    from esker.ship.ci.written import check, write

    options = _options(host, arguments, voice)
    where = _place(options)
    job = _job(host, where, options, voice)
    texts = _texts(host, where, job)
    same = [word for word in arguments if word not in {"--check", "--force"}]
    again = shlex.join([voice.program, "ci", host, *same])
    if options.check:
        from esker.cli.views.ci import print_differences

        differences = check(where.top, texts)
        print_differences(differences)
        if differences:
            from esker.errors import StaleWorkflow

            listed = " and ".join(f"`{each.path}`" for each in differences)
            hint = f"write it again: {again}"
            if by_hand := [each for each in differences if each.needs_force]:
                were = "was" if len(by_hand) == 1 else "were"
                hint = (
                    f"{' and '.join(f'`{each.path}`' for each in by_hand)} {were} changed by hand: move what is to "
                    f"stay to a place of `{by_hand[0].places}` between "
                    f"`# esker: yours` and `# esker: end`; then write over the rest: {again} --force"
                )
            raise StaleWorkflow(
                f"{listed} {'is' if len(differences) == 1 else 'are'} not what the declaration says", hint=hint
            )
        voice.say("✔ The workflow is what the declaration says.")
        return 0
    changed = write(where.top, texts, force=options.force)
    for path in changed:
        voice.say(f"✔ Wrote {path}")
    if not changed:
        voice.say("✔ The workflow is what the declaration says.")
    return 0


def _options(host: str, arguments: list[str], voice: Voice) -> Namespace:
    from esker.ship.ci.choices import TOOLS

    examples = (
        f"  esker ci {host}\n  esker ci {host} --check     in CI: fail if the file is not what the declaration says"
    )
    what = {"github": "the workflow for GitHub", "gitlab": "the pipeline for GitLab"}[host]
    summary = (
        f"Write {what} that tests the project in its declared environment. What you add in the marked places stays."
    )
    parser = Parser(f"ci {host}", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument(
        "--test",
        action="append",
        default=[],
        metavar="COMMAND",
        help="what to run (default: `test` in [plugins.esker.ci], else what the project's files imply)",
    )
    if host == "github":
        parser.add_argument(
            "--through",
            choices=TOOLS,
            help="what enters the environment: Esker (default), or its own tool with that tool's actions",
        )
        parser.add_argument(
            "--action",
            metavar="NAME",
            help="where GitHub finds Esker's action: OWNER/REPOSITORY@REF, or ./DIRECTORY of the same repository "
            "(default: `action` in [plugins.esker.ci])",
        )
    else:
        parser.add_argument(
            "--image", help="the image of the job (default: `image` in [plugins.esker.ci], else one with Python)"
        )
    parser.add_argument(
        "--without-packages",
        action="store_true",
        help="leave packages of [install] out in the job, whose machine has what the tests need",
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument(
        "--check", action="store_true", help="write nothing; print the difference, and fail if there is one"
    )
    forms.add_argument("--force", action="store_true", help="write over changes outside of the marked places too")
    return parser.parse_args(arguments)


def _place(options: Namespace) -> Place:
    """Return where the project lies that the options name, else the nearest one."""
    from esker.errors import NoEnvironment, NotFound
    from esker.runtimes import registry
    from esker.ship.ci.planned import Place

    start, explicit = place(options)
    try:
        project, _ = registry.find_project(start, explicit=explicit)
    except NoEnvironment as error:
        if error.directory is not None and not os.path.isdir(error.directory):
            raise
        *names, last = (f"`{name.rstrip('/')}`" for name in registry.declarations())
        where = "the current directory" if error.directory is None else f"`{error.directory}`"
        raise NotFound(
            f"a workflow enters what {', '.join(names)} or {last} declares, and there is none of them in {where}",
            hint="name the project's directory: -d DIR; or make an environment: esker init",
        ) from None
    top = project
    while not os.path.lexists(f"{top}/.git"):
        above = os.path.dirname(top)
        if above == top:
            return Place(project, project)
        top = above
    return Place(project, top)


def _declaration(project: str) -> Declaration | None:
    from esker.declare.load import load

    return load(project) if os.path.isdir(f"{project}/.flox") else None


def _job(host: str, where: Place, options: Namespace, voice: Voice) -> Job:
    from esker.ship.ci.planned import planned
    from esker.ship.ci.versions import ACTIONS, GITHUB_RUNNERS, GITLAB_IMAGE, GITLAB_TAGS
    from esker.ship.ci.written import is_added, remembered

    job = planned(
        where,
        _declaration(where.project),
        os.environ,
        given=_given(options),
        kept=remembered(where.top, _file(host, where), where.directory),
        offered=GITHUB_RUNNERS if host == "github" else GITLAB_TAGS,
        say=lambda text: voice.say(f"ℹ {text}"),
    )
    if host == "github" and job.tool == "esker" and job.action == ACTIONS["esker"]:
        voice.say(
            f"! `{job.action}` is where Esker's action will be; nothing is published there yet. Name your own copy of "
            "Esker's repository: --action OWNER/REPOSITORY@REF"
        )
    if host == "github" and job.tool == "esker" and job.action.startswith("./") and not _is_action(where, job.action):
        voice.say(
            f"! `{job.action}` of this repository has no action.yml, which GitHub looks for there. Put a copy of "
            "Esker's repository there, or name where one is: --action OWNER/REPOSITORY@REF"
        )
    if host == "gitlab" and job.without_packages and not job.image:
        voice.say(
            f"ℹ The tests take what `{GITLAB_IMAGE}` has in place of the packages; to name another image: --image"
        )
    if host == "gitlab" and not is_added(where.top, _file(host, where), "ESKER_CI_PACKAGE"):
        voice.say(
            "! The job's pip takes `esker` from its index, where nothing is published yet. Name your own copy in the "
            "place `variables`: ESKER_CI_PACKAGE"
        )
    return job


def _is_action(where: Place, action: str) -> bool:
    return any(os.path.isfile(os.path.join(where.top, action, name)) for name in ("action.yml", "action.yaml"))


def _given(options: Namespace) -> Choices:
    """Return what is chosen on the command line."""
    from esker.declare import notations
    from esker.formats.tables.reader import argument
    from esker.ship.ci.choices import Choices

    action, image = getattr(options, "action", None), getattr(options, "image", None)
    with argument():
        return Choices(
            test=notations.command_lines(options.test) if options.test else (),
            through=getattr(options, "through", None),
            action=notations.action(action) if action is not None else "",
            image=notations.image_of_job(image) if image is not None else "",
            without_packages=options.without_packages,
        )


def _file(host: str, where: Place) -> str:
    """Return the path of the file that a host reads, below the top of the repository."""
    from esker.ship.ci import github

    return f".github/workflows/{github.file_name(where.directory)}" if host == "github" else ".gitlab-ci.yml"


def _texts(host: str, where: Place, job: Job) -> Mapping[str, str]:
    """Return the files of a host, by their paths below the top of the repository."""
    from esker.ship.ci import github, gitlab

    if host == "github":
        return {_file(host, where): github.workflow(job)}
    return {_file(host, where): gitlab.pipeline(job), gitlab.INCLUDED: gitlab.included()}
