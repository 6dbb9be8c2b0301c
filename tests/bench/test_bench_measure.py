"""The measuring itself: rounds, costs, aims and what a figure prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from types import SimpleNamespace

import pytest

from bench import __main__ as command
from bench import machine
from bench.machine import Load, Machine, cpu_model
from bench.measure import Cost, Sample, rounds, run
from bench.projects import EXAMPLE, copy_example, python_table, uv_project
from bench.report import Figure, as_json, as_text, cpu, difference, ratio, wall
from bench.workspace import workspace

MACHINE = Machine(cpu="Some CPU", cores=2, kernel="Linux 6.1.0", python="CPython 3.11.7", uv="0.13.8")


def figure(*, load=0.25, notes=(), others=None):
    """A figure of three rounds, whose median difference is not the difference of its medians."""
    ours = cpu("ours", [Cost(0.030, 1), Cost(0.010, 1), Cost(0.020, 1)], aim=40)
    peer = cpu("peer", [Cost(0.010, 1), Cost(0.008, 1), Cost(0.004, 1)])
    lines = (ours, peer, difference(ours, peer, aim=12), ratio(ours, peer))
    return Figure(name="some", title="a title", machine=MACHINE, load=load, lines=lines, notes=notes, others=others)


class TestRounds:
    """Subjects are run in turn, so that what disturbs one disturbs all."""

    def test_order_rotates_and_the_first_round_warms_up(self):
        """Each round runs every subject once and begins with another one; the first round is not counted."""
        ran = []

        def subject(name):
            def once():
                ran.append(name)
                return Cost(cpu=len(ran), wall=0)

            return once

        looked = []
        costs = rounds({"a": subject("a"), "b": subject("b")}, 7, after=lambda: looked.append(len(ran)))
        assert "".join(ran) == "abba" * 4
        assert looked == [2, 4, 6, 8, 10, 12, 14, 16]
        assert [cost.cpu for cost in costs["a"]] == [4, 5, 8, 9, 12, 13, 16]
        assert [len(taken) for taken in costs.values()] == [7, 7]

    def test_too_few_rounds_are_refused(self):
        """A figure of six rounds is refused before anything runs."""
        with pytest.raises(ValueError, match="6 rounds are too few: a figure needs 7"):
            rounds({"a": lambda: pytest.fail("ran")}, 6, after=lambda: None)


class TestRun:
    """A command's cost is that of its whole family."""

    def test_cost_includes_grandchildren(self):
        """The work of a grandchild that was waited for is counted."""
        idle = run(["sh", "-c", "sh -c :; :"], environment=os.environ)
        busy = run(["sh", "-c", "sh -c 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done'; :"], environment=os.environ)
        assert busy.cpu > 2 * idle.cpu

    def test_environment_and_directory(self, tmp_path):
        """The command sees the variables and the directory it was given, and no others."""
        script = f'[ "$(pwd -P)" = "{tmp_path.resolve()}" ] && [ "$A" = b ] && [ -z "$HOME" ]'
        run(["/bin/sh", "-c", script], environment={"A": "b"}, directory=str(tmp_path))

    def test_failure_shows_what_the_command_said(self):
        """A command that fails ends the measuring with its status and its words."""
        with pytest.raises(RuntimeError, match="ended with status 3:\nout\nerr"):
            run(["sh", "-c", "echo out; echo err >&2; exit 3"], environment=os.environ)


class TestFigure:
    """What is printed is what was measured."""

    def test_sample(self):
        """A sample's spread is its middle half, which one bad round does not move."""
        sample = Sample((1.0, 2.0, 3.0, 4.0, 500.0))
        assert (sample.median, sample.quartiles) == (3.0, (2.0, 4.0))

    def test_peers_are_compared_round_by_round(self):
        """A difference or ratio is taken within each round; the middle one of these is shown."""
        lines = figure().lines
        assert lines[2].sample.values == pytest.approx((20, 2, 16))
        assert lines[3].sample.values == pytest.approx((3, 1.25, 5))

    def test_units(self):
        """Costs are seconds; a line is in its own unit."""
        costs = [Cost(0.5, 2.0), Cost(0.5, 2.0)]
        assert cpu("x", costs).sample.median == 500.0
        assert wall("x", costs, "s").sample.median == 2.0
        assert (Cost(1, 2) + Cost(3, 4)) == Cost(4, 6)

    def test_text(self):
        """The text names machine, rounds, load, and whether each aim was met."""
        assert as_text(figure(notes=("A note.",))) == (
            "some: a title\n"
            "Some CPU, 2 cores, Linux 6.1.0, CPython 3.11.7, uv 0.13.8\n"
            "3 rounds, highest load 0.25: valid\n"
            "\n"
            "                               median  middle half       aim\n"
            "ours, CPU                     20.0 ms  15.0 to 25.0      40 ms: met\n"
            "peer, CPU                      8.0 ms  6.0 to 9.0\n"
            "(ours, CPU) - (peer, CPU)     16.0 ms  9.0 to 18.0       12 ms: MISSED\n"
            "(ours, CPU) / (peer, CPU)     3.00 x   2.12 to 4.00\n"
            "\n"
            "A note."
        )

    def test_json(self):
        """The JSON holds every value, whether it is valid, and whether each aim was met."""
        record = json.loads(as_json(figure()))
        assert record["machine"] == {
            "cpu": "Some CPU", "cores": 2, "kernel": "Linux 6.1.0", "python": "CPython 3.11.7", "uv": "0.13.8",
        }  # fmt: skip
        assert [line["met"] for line in record["lines"]] == [True, None, False, None]
        assert record["lines"][1] == {
            "title": "peer, CPU", "unit": "ms", "median": 8.0, "quartiles": [6.0, 9.0], "values": [10.0, 8.0, 4.0],
            "aim": None, "met": None,
        }  # fmt: skip
        assert (record["name"], record["valid"], record["load"]) == ("some", True, 0.25)

    @pytest.mark.parametrize(("load", "valid"), [(1.5, True), (1.51, False)])
    def test_busy_machine(self, load, valid):
        """A figure that was taken above the highest load says that it is not valid."""
        assert json.loads(as_json(figure(load=load)))["valid"] is valid
        assert ("INVALID" in as_text(figure(load=load))) is not valid

    @pytest.mark.parametrize(("others", "state"), [(0.25, "valid"), (0.26, "INVALID, because it is above 0.25")])
    def test_all_cores_used(self, others, state):
        """A figure that makes the load itself is judged by what others did between its rounds."""
        assert f"3 rounds, highest load 4.00, others {others:.2f} cores: {state}\n" in as_text(
            figure(load=4, others=others)
        )


class TestMachine:
    """The machine is described as its kernel describes it."""

    def test_cpu_model(self):
        """The processor's name is the first one of /proc/cpuinfo; without one there is none."""
        text = "processor\t: 0\nmodel name\t: Some CPU @ 2.10GHz\n\nprocessor\t: 1\nmodel name\t: Another\n"
        assert cpu_model(text) == "Some CPU @ 2.10GHz"
        assert cpu_model("processor\t: 0\nBogoMIPS\t: 243.75\n") is None

    def test_others(self, monkeypatch):
        """What others do while the bench waits is counted in cores; the most of all looks is kept."""
        monkeypatch.setattr(machine, "SETTLES", 0)
        monkeypatch.setattr(machine, "WATCHED", 0.3)
        load = Load(apart=True)
        other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        load.look()
        other.kill()
        other.wait()
        most = load.others
        assert most > 0.5
        load.look()
        assert load.others >= most

    def test_others_unasked(self, monkeypatch):
        """Other figures do not wait."""
        monkeypatch.setattr(machine, "SETTLES", 1000)
        assert Load().others is None


class TestProjects:
    """Esker and its peers are measured on the same declaration."""

    def test_copy_without_scripts(self, tmp_path):
        """The copy without scripts declares the same but hook and profile, and holds nothing a run has made."""
        copy = copy_example(tmp_path / "copy", scripts=False)
        original = tomllib.loads((EXAMPLE / ".flox/env/manifest.toml").read_text())
        assert {"hook", "profile"} <= original.keys()
        left = {key: value for key, value in original.items() if key not in {"hook", "profile"}}
        assert tomllib.loads((copy / ".flox/env/manifest.toml").read_text()) == left
        assert not {"run", "cache", "log", "lib", "pylock.toml"} & set(os.listdir(copy / ".flox"))

    def test_copy_with_scripts(self, tmp_path):
        """The whole copy has the example's own manifest, byte for byte."""
        copy = copy_example(tmp_path / "copy", scripts=True)
        name = ".flox/env/manifest.toml"
        assert (copy / name).read_bytes() == (EXAMPLE / name).read_bytes()

    def test_uv_project(self, tmp_path):
        """The peer's project has the example's interpreter and dependencies."""
        project = tomllib.loads((uv_project(tmp_path / "uv") / "pyproject.toml").read_text())["project"]
        declared = python_table()
        assert (project["requires-python"], project["dependencies"]) == (declared["version"], declared["dependencies"])

    def test_workspace(self, monkeypatch):
        """Commands of a workspace see its own home, store and caches, none of the caller's; nothing of it is left."""
        monkeypatch.setenv("ESKER_STORE", "/elsewhere")
        monkeypatch.setenv("UV_CACHE_DIR", "/elsewhere")
        monkeypatch.setenv("VIRTUAL_ENV", "/elsewhere")
        with workspace() as space:
            assert "/elsewhere" not in space.environment.values()
            for name in ("HOME", "ESKER_STORE", "UV_CACHE_DIR", "PIP_CACHE_DIR"):
                assert space.environment[name].startswith(f"{space.directory}/")
            (space.directory / "home" / "store" / "deep").mkdir(parents=True)
            (space.directory / "home" / "store" / "deep").chmod(0o555)
        assert not space.directory.exists()


class TestCommand:
    """`python -m bench NAME [--json]`."""

    @pytest.fixture
    def asked(self, monkeypatch):
        """A figure called `fake`; the rounds that were asked of it."""
        asked = []

        def take(count):
            asked.append(count)
            return figure()

        monkeypatch.setitem(sys.modules, "bench.fake", SimpleNamespace(figure=take))
        monkeypatch.setitem(command.FIGURES, "fake", "a fake")
        return asked

    def test_prints_the_figure(self, asked, capsys):
        """The figure is printed as text, or as JSON."""
        assert command.main(["fake"]) == 0
        assert capsys.readouterr().out == f"{as_text(figure())}\n"
        assert command.main(["fake", "--json", "--rounds", "7"]) == 0
        assert capsys.readouterr().out == f"{as_json(figure())}\n"
        assert asked == [11, 7]

    @pytest.mark.parametrize("arguments", [[], ["unknown"], ["fake", "--rounds", "6"], ["fake", "--rounds", "x"]])
    def test_usage(self, asked, arguments, capsys):
        """A wrong command line measures nothing and exits 2."""
        with pytest.raises(SystemExit) as exit_:
            command.main(arguments)
        assert (exit_.value.code, asked) == (2, [])
        assert "usage: python -m bench" in capsys.readouterr().err

    def test_every_name_has_its_module(self):
        """Every figure that the command offers can be taken."""
        for name in command.FIGURES:
            module = __import__(f"bench.{name.replace('-', '_')}", fromlist=["figure"])
            assert callable(module.figure)
