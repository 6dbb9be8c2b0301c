"""The runtime `nix`, with real Nix and a store of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from tests.cli.test_cli_startup import HEAVY, MODULES, loaded

pytestmark = pytest.mark.live("nix")

OF_ESKER = (
    *("ESKER_COMMAND", "ESKER_RUNTIME_DIR", "FLOX_", "_FLOX_", "_ESKER_STARTS", "_FLOX_ACTIVE_ENVIRONMENTS"),
    *("INFOPATH", "MANPATH"),
)
LEFT_OUT = {"NIX_BUILD_TOP", "TMP", "TMPDIR", "TEMP", "TEMPDIR", "SHELL", "OLDPWD", "NIX_GCROOT", "SHLVL", "_", "PWD"}
LISTS = {"PATH", "XDG_DATA_DIRS"}
HOOK = """
  export FROM_HOOK=1
  export MULTI="one
two"
  alias be='bundle exec'
  bundle() { echo "my bundle $*"; }
  greet=hello
  list=(one "two three")
  declare -A table=([key]="a value")
  trap 'echo stopped >> "$HOME/stopped"' EXIT
  echo ran >> "$HOME/ran"
"""


def ran(nix):
    """How often the hook above has run, and forget it."""
    path = nix.home / "ran"
    number = len(path.read_text().splitlines()) if path.exists() else 0
    path.unlink(missing_ok=True)
    return number


def same(project, *options, split=1):
    """Check that a command has the variables that `nix develop` gives it, but for those of the list.

    The options before `split` are Esker's, the others are Nix's.
    """
    own, theirs = project.variables(*options[:split]), project.develop(*options[split:])
    for name in (name for name in LISTS if theirs.get(name)):
        mine, given = own[name].split(":"), theirs[name].split(":")
        assert mine[: len(dict.fromkeys(given))] == list(dict.fromkeys(given))
    names = {*own, *theirs} - LEFT_OUT - LISTS
    differing = {name for name in names if own.get(name) != theirs.get(name) and not name.startswith(OF_ESKER)}
    assert differing == set(), {name: (own.get(name), theirs.get(name)) for name in differing}
    return own


def test_the_variables_are_those_of_nix_develop(flake, nix):
    """All of them, with values of several lines, outputs below the project, and what setup hooks of inputs export."""
    project = flake(
        'default = pkgs.mkShell { packages = [ pkgs.hello pkgs.toolkit ]; FOO = "a\\nb \'c\' \\"d\\""; '
        'MINE = "${placeholder "out"}"; shellHook = "export HOOKED=$out/x; unset CONFIG_SHELL"; };'
    )
    own = same(project, split=0)
    assert own["FOO"] == "a\nb 'c' \"d\""
    assert own["HOOKED"] == f"{project.directory}/outputs/out/x"
    assert own["TOOLKIT_HOME"].startswith(nix.environ["NIX_STORE_DIR"])
    assert own["HOME"] == str(nix.home)
    assert project.activate("--", "hello") == "Hello, world!\n"
    assert not (project.directory / "outputs").exists()


def test_shells_take_over_what_the_hook_left(flake, nix):
    """A bash has functions, arrays and aliases, also those of the build environment; a command has the variables."""
    project = flake(f"default = pkgs.mkShell {{ packages = [ pkgs.toolkit ]; shellHook = ''{HOOK}''; }};")
    ran(nix)
    said = project.activate(
        "-c",
        'bundle x; be install; echo "$greet ${list[1]} ${table[key]}"; toolkitWrap y; '
        'echo "${preConfigureHooks[1]}"; buildPhase',
        FLOX_SHELL="bash",
    )
    assert said.splitlines() == [
        *("my bundle x", "my bundle exec install", "hello two three a value", "wrapped y", "two", "lines"),
        'a here document in a function, with a "quote", $HOME and `ticks`',
    ]
    assert ran(nix) == 1
    assert project.variables()["MULTI"] == "one\ntwo"
    assert ran(nix) == 1
    assert not (nix.home / "stopped").exists()
    script = 'eval "$(python -m esker activate)"; bundle z; echo ${list[1]}; type -t toolkitWrap; '
    in_place = nix.run(
        ["bash", "-c", f'{script} esker deactivate; echo "${{FROM_HOOK-none}} ${{TMPDIR-none}}"'],
        cwd=project.directory,
        environ=nix.environ,
    )
    assert in_place.out.splitlines() == ["my bundle z", "two three", "function", "none none"], in_place.err


def test_functions_that_the_hook_exports(flake):
    """A command's own bash has them, as in `nix develop`, and so has one below a shell."""
    hook = "f() { cat <<END\nin f: $1\nEND\n}\nexport -f f"
    project = flake(f"default = pkgs.mkShell {{ shellHook = ''{hook}''; }};")
    assert project.activate("--", "bash", "-c", "f a") == "in f: a\n"
    assert project.activate("-c", "bash -c 'f b'", FLOX_SHELL="bash") == "in f: b\n"
    assert project.variables()["BASH_FUNC_f%%"] == project.develop()["BASH_FUNC_f%%"]


def test_an_interactive_bash_has_the_trap_and_a_zsh_the_aliases(flake, nix):
    """The EXIT trap runs at the end of an interactive bash; a fish says that it has the variables alone."""
    project = flake(f"default = pkgs.mkShell {{ shellHook = ''{HOOK}''; }};")
    terminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    argv = [sys.executable, "-c", terminal, sys.executable, "-m", "esker", "activate"]
    environ = {**nix.environ, "FLOX_SHELL": "bash"}
    done = nix.run(argv, cwd=project.directory, environ=environ, stdin="bundle deep; shopt -q progcomp; exit $?\n")
    assert "my bundle deep" in done.out
    assert (nix.home / "stopped").read_text() == "stopped\n"
    (nix.home / "stopped").unlink()
    for shell, line in (("zsh", "be='bundle exec'"), ("fish", "has taken over the variables alone")):
        if shutil.which(shell, path=nix.environ["PATH"]) is None:
            continue
        said = project.esker("activate", "-c", "alias be; echo $MULTI", FLOX_SHELL=shell)
        assert line in said.out + said.err


def test_an_exec_ends_the_hook(flake):
    """The environment so far counts, one line says so, and an `exec` that only redirects is none of that."""
    project = flake(
        "default = pkgs.mkShell { shellHook = ''\n export A=1\n exec 7>/dev/null\n echo x >&7\n "
        "if true; then exec zsh -l; fi\n export B=1\n''; };"
    )
    done = project.esker("activate", "--", "sh", "-c", "echo $A-$B")
    assert done.out == "1-\n"
    assert "The shellHook ended with `exec zsh -l`, which was not run" in done.err


@pytest.mark.parametrize(("end", "says"), [("exit 3", "bash ended with status 3"), ("kill -9 $$", "SIGKILL")])
def test_a_hook_that_ends_its_bash(flake, end, says):
    """It is an error that names the shellHook."""
    project = flake(f"default = pkgs.mkShell {{ shellHook = ''{end}''; }};")
    done = project.esker("activate", "--", "true")
    assert done.status == 1
    assert "The shellHook script did not complete normally" in done.err
    assert says in done.err


def test_temporary_files_have_a_directory_that_ends_with_its_users(flake, nix, tmp_path):
    """It is new, private and empty, and is removed after a command, with a hook or without."""
    project = flake('default = pkgs.mkShell { }; hooked = pkgs.mkShell { shellHook = "touch $TMPDIR/x"; };')
    for options in ([], ["--shell", "hooked"]):
        said = project.activate(
            *options, "--", "sh", "-c", 'echo "$TMPDIR $TMP $TEMP $TEMPDIR"; stat -c %a "$TMPDIR"', TMPDIR=str(tmp_path)
        )
        paths, mode = said.splitlines()
        assert len(set(paths.split())) == 1
        assert mode == "700"
        directory = paths.split()[0]
        assert os.path.dirname(directory) == str(tmp_path)
        deadline = time.monotonic() + 20
        while os.path.exists(directory) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert os.listdir(tmp_path) == []


class Asked:
    """A project, and a `nix` on PATH that notes when it is asked for an environment."""

    def __init__(self, project):
        self.project = project
        self.directory = project.directory.parent / f"{project.directory.name}-bin"
        self.directory.mkdir()
        self.log = self.directory / "asked"
        self.replace("the first version")
        self.path = {"PATH": f"{self.directory}:{project.nix.environ['PATH']}"}

    def replace(self, remark):
        """Make another `nix`."""
        program = self.directory / "nix"
        real = shutil.which("nix")
        program.write_text(f'#!/bin/sh\n# {remark}\necho "$3" >> {self.log}\nexec {real} "$@"\n')
        program.chmod(0o755)

    def __call__(self, *options, **variables):
        """Return the variables of the environment, and what Nix was asked for."""
        self.log.write_text("")
        found = self.project.variables(*options, **(self.path | variables))
        return found, self.log.read_text().split()

    def unchanged(self, *options, **variables):
        """Return the variables; Nix must not be asked."""
        found, asked = self(*options, **variables)
        assert asked == []
        return found

    def changed(self, *options, **variables):
        """Return the variables; Nix must be asked, and not a second time."""
        found, asked = self(*options, **variables)
        assert "print-dev-env" in asked
        self.unchanged(*options, **variables)
        return found


def test_files_that_change_are_never_stale(flake, nix):
    """After a change of any file Nix is asked again; after a touch, a commit or a file that git ignores, it is not."""
    library = nix.directory / "lib"
    library.mkdir()
    (library / "default.nix").write_text('{ value = "1"; }')
    (library / "flake.nix").write_text("{ outputs = { self }: { }; }")
    project = flake(
        'default = pkgs.mkShell { A = builtins.readFile ./a; B = if builtins.pathExists ./b then "b" else "none"; '
        'LIB = (import inputs.lib).value; RUN = "${./run}"; };',
        inputs=f'inputs.lib.url = "path:{library}";',
        files={"a": "1", "run": "echo 1\n"},
    )
    asked = Asked(project)
    assert asked.changed()["A"] == "1"
    project.write("a", "2")
    assert asked.changed()["A"] == "2"
    os.utime(project.directory / "a")
    assert asked.unchanged()["A"] == "2"
    project.write("untracked", "x")
    asked.unchanged()
    project.write("b", "x")
    project.git("add", "b")
    assert asked.changed()["B"] == "b"
    project.git("rm", "--quiet", "--force", "b")
    assert asked.changed()["B"] == "none"
    (project.directory / "run").chmod(0o755)
    first = asked.changed()["RUN"]
    project.git("commit", "--quiet", "--all", "--message", "x")
    assert asked.unchanged()["RUN"] == first
    (library / "default.nix").write_text('{ value = "2"; }')
    update = ["flake", "lock", "--update-input", "lib", "--override-input", "nixpkgs", f"path:{nix.nixpkgs}"]
    nix(*update, cwd=project.directory)
    assert asked.changed()["LIB"] == "2"
    flake_file = project.directory / "flake.nix"
    flake_file.write_text(flake_file.read_text().replace("A = ", 'C = self.rev or "dirty"; A = '))
    assert asked.changed()["C"] == "dirty"
    project.git("commit", "--quiet", "--all", "--message", "y")
    assert asked.changed()["C"] == project.git("rev-parse", "HEAD").strip()


def test_nix_and_its_settings_are_never_stale(flake, nix):
    """After a change of Nix, its settings or the options Nix is asked again."""
    project = flake("default = pkgs.mkShell { };")
    asked = Asked(project)
    asked.changed()
    nix.settings.write_text(nix.settings.read_text() + "# a remark\n")
    asked.changed()
    own = nix.home / ".config/nix/nix.conf"
    own.parent.mkdir(parents=True)
    own.write_text("!include more.conf\n")
    asked.changed()
    (own.parent / "more.conf").write_text("cores = 2\n")
    asked.changed()
    own.unlink()
    asked.changed()
    asked.changed(NIX_CONFIG="cores = 1")
    asked.replace("another version of it")
    asked.changed()
    assert "print-dev-env" in asked("--refresh")[1]
    for _ in range(2):  # its result is not kept
        assert "print-dev-env" in asked("--impure")[1]
    asked.unchanged()


def test_a_flake_with_very_many_files(flake):
    """Only its `*.nix` and locks count, and it is said when Nix is asked."""
    files = {f"data/{number % 100}/{number}.txt": "" for number in range(5000)}
    project = flake(
        "default = pkgs.mkShell { A = builtins.readFile ./data/0/0.txt; B = import ./b.nix; };",
        files={**files, "b.nix": '"1"'},
    )
    first = project.esker("activate", "--", "true")
    said = "has more than 5,000 files: only `*.nix` and the locks count"
    assert said in first.err, first.err
    project.write("data/0/0.txt", "2")
    second = project.esker("activate", "--", "sh", "-c", "echo $A-$B")
    assert (second.out, second.err) == ("-1\n", "")
    project.write("b.nix", '"2"')
    third = project.esker("activate", "--", "sh", "-c", "echo $A-$B")
    assert third.out == "2-2\n"
    assert said in third.err


def test_overridden_inputs(flake, nix):
    """They are taken for one call, and their own files are watched, whether they lie in a repository or not."""
    project = flake("default = pkgs.mkShell { V = (import inputs.more).value; };", inputs="", before="").directory
    del project
    text = 'inputs.more = { url = "github:example/more"; flake = false; };'
    files = {"default.nix": '{ value = "path"; }'}
    plain = nix.project(files, "more-plain", git=False)
    repository = nix.project({"default.nix": '{ value = "git"; }'}, "more-git")
    repository.git("commit", "--quiet", "--message", "x")
    flake_text = (
        f'{{ {text}\n inputs.nixpkgs.url = "path:{nix.nixpkgs}";\n outputs = {{ self, nixpkgs, more }}: {{ '
        "devShells.x86_64-linux.default = nixpkgs.legacyPackages.x86_64-linux.mkShell "
        "{ V = (import more).value; }; }; }"
    )
    own = nix.project({"flake.nix": flake_text}, "overriding")
    by_path = ("--override-input", f"more=path:{plain.directory}")
    by_git = ("--override-input", f"more=git+file://{repository.directory}")
    assert own.variables(*by_path)["V"] == "path"
    assert own.variables(*by_git)["V"] == "git"
    assert own.variables(*by_path)["V"] == "path"
    plain.write("default.nix", '{ value = "path 2"; }')
    assert own.variables(*by_path)["V"] == "path 2"
    repository.write("default.nix", '{ value = "git 2"; }')
    assert own.variables(*by_git)["V"] == "git 2"
    repository.git("commit", "--quiet", "--all", "--message", "y")
    assert own.variables(*by_git)["V"] == "git 2"
    assert not (own.directory / "flake.lock").exists()
    inner = own.activate(*by_path, "--", sys.executable, "-m", "esker", "activate", "--", "sh", "-c", "echo $V")
    assert inner == "path 2\n"


def test_a_collected_result_is_made_again(flake, nix):
    """The result is a root, and earlier ones are not; without the root it is made again instead of leading nowhere."""
    project = flake(
        'default = pkgs.mkShell { packages = [ pkgs.jq ]; A = builtins.readFile ./a; shellHook = ". ${./hook.sh}"; };',
        files={"a": "1", "hook.sh": "export SOURCED=$A\n"},
    )
    asked = Asked(project)
    first = asked.changed()
    project.write("a", "2")
    asked.changed()
    state = project.directory.parent / "home/.local/state/esker/projects"
    (run,) = [path / "run" for path in state.iterdir() if project.directory.name[:20] in path.name]
    assert len([name for name in os.listdir(run) if name.endswith("-link")]) == 1
    for words in (["nix-collect-garbage", "-d"], ["nix-store", "--gc"]):
        nix.run(words, cwd=project.directory, environ=nix.environ, check=True)
        assert asked.unchanged()["SOURCED"] == "2"  # what the shellHook sources is kept too
    assert project.activate("--", "jq") == "a stand-in for jq\n"
    answer = os.path.realpath(run / "nix")
    for link in run.iterdir():
        link.unlink()
    nix("store", "gc", cwd=project.directory)
    assert not os.path.exists(answer)
    assert asked.changed()["SOURCED"] == "2"
    assert project.activate("--", "jq") == "a stand-in for jq\n"
    assert first["A"] == "1"


def test_a_shell_nix(nix):
    """It is taken with its attributes; every `*.nix` below it and the targets of NIX_PATH are watched."""
    text = """
{ pkgs ? import <nixpkgs> { } }:
{
  default = pkgs.mkShell { packages = [ pkgs.hello ]; A = import ./nix/value.nix; N = pkgs.marker or "none"; };
  other = pkgs.mkShell { A = "other"; };
}
"""
    one = "{ pkgs ? import <nixpkgs> { } }: pkgs.mkShell { packages = [ pkgs.hello ]; A = import ./nix/value.nix; }"
    project = nix.project({"shell.nix": one, "nix/value.nix": '"1"'}, "shell-nix", git=False)
    assert project.variables()["A"] == "1"
    assert project.activate("--", "hello") == "Hello, world!\n"
    project.write("nix/value.nix", '"2"')
    assert project.variables()["A"] == "2"
    project.write("shell.nix", text)
    assert project.variables("--shell", "other")["A"] == "other"
    assert project.variables("--shell", "default")["N"] == "none"
    default = nix.nixpkgs / "default.nix"
    before = default.read_text()
    try:
        default.write_text(before.replace("  mkShellNoCC", '  marker = "there";\n  mkShellNoCC'))
        assert project.variables("--shell", "default")["N"] == "there"
        link = nix.directory / "channel"
        link.symlink_to(nix.nixpkgs)
        other = nix.directory / "nixpkgs-2"
        subprocess.run(["cp", "-r", str(nix.nixpkgs), str(other)], check=True)
        (other / "default.nix").write_text(before)
        path = {"NIX_PATH": f"nixpkgs={link}"}
        assert project.variables("--shell", "default", **path)["N"] == "there"
        link.unlink()
        link.symlink_to(other)
        assert project.variables("--shell", "default", **path)["N"] == "none"
    finally:
        default.write_text(before)


def test_processes_share_a_start(flake, nix):
    """While one uses the environment, others take over what its hook did, with its functions."""
    project = flake(f"default = pkgs.mkShell {{ shellHook = ''{HOOK}''; }};")
    ran(nix)
    argv = [sys.executable, "-m", "esker", "activate", "--", "sh", "-c", "echo on; read line"]
    first = subprocess.Popen(
        argv, cwd=project.directory, env=nix.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout.readline() == "on\n"
    assert project.activate("-c", "bundle late; echo $FROM_HOOK", FLOX_SHELL="bash") == "my bundle late\n1\n"
    first.communicate("\n")
    assert ran(nix) == 1


def test_a_manifest_beside_a_flake(flake, nix):
    """With `runtime = "nix"` the manifest adds variables, a hook, services and profile scripts to the flake's shell."""
    manifest = """
schema-version = "1.14.0"
[vars]
PSQL_HOST = "elsewhere"
[hook]
on-activate = "export LATER=$SET_BY_HOOK-$PSQL_HOST"
[services]
web.command = "echo $FOO-$SET_BY_HOOK > $FLOX_ENV_PROJECT/said; exec sleep 100"
[plugins.esker]
runtime = "nix"
[plugins.esker.nix]
shell = "ci"
watch = ["data/*.json"]
[plugins.esker.services.web]
healthcheck.test = "test -s $FLOX_ENV_PROJECT/said"
"""
    project = flake(
        'ci = pkgs.mkShell { FOO = "ci"; DATA = builtins.attrNames (builtins.readDir ./data); shellHook = "export SET_BY_HOOK=$PSQL_HOST; both() { echo both; }"; };',
        files={
            ".flox/env.json": '{"name": "both", "version": 1}',
            ".flox/env/manifest.toml": manifest,
            "data/a.json": "",
        },
    )
    own = project.variables()
    assert own["FOO"] == "ci"
    assert own["LATER"] == "elsewhere-elsewhere"
    assert own["FLOX_ENV_PROJECT"] == str(project.directory)
    assert project.activate("-c", "both", FLOX_SHELL="bash") == "both\n"
    asked = Asked(project)
    asked.changed()  # it is another `nix`
    project.write("data/b.json", "")  # git does not track it, but it is watched
    assert asked.changed()["DATA"] == "a.json"
    project.git("add", "data/b.json")
    assert asked.changed()["DATA"] == "a.json b.json"
    assert project.activate("-s", "--", "cat", "said") == "ci-elsewhere\n"
    assert json.loads(project.esker("services", "status", "--json").out)[0]["status"] == "Stopped"
    assert project.variables("--runtime", "nix", "--shell", "ci").get("LATER") is None
    said = project.esker("doctor", "-d", str(project.directory)).out
    assert "with the toolchain of the runtime `nix`" in said
    assert "`.flox/` counts before `flake.nix` (--runtime nix)" in said


def test_services_of_a_bare_flake_and_python(flake, nix):
    """`Environment` and `activate -s` take a project without `.flox`; with no services, they say so."""
    project = flake('default = pkgs.mkShell { FOO = "x"; shellHook = "export BAR=$FOO"; };')
    code = (
        "import os, subprocess, esker\n"
        "with esker.Environment('.') as environment:\n"
        "    print(os.environ['BAR'], os.path.isdir(os.environ['TMPDIR']))\n"
        "    kept = os.environ['TMPDIR']\n"
        "    print(subprocess.run(['sh', '-c', 'echo $FOO'], capture_output=True, text=True).stdout.strip())\n"
        "    print(environment.services.names)\n"
        "print('BAR' in os.environ)\n"
    )
    done = nix.run([sys.executable, "-c", code], cwd=project.directory, environ=nix.environ)
    assert done.out.splitlines() == ["x True", "x", "()", "False"], done.err
    assert "does not have any services" in project.esker("activate", "-s", "--", "true").err


def test_what_nix_refuses_is_told_in_its_words(flake, nix):
    """A broken flake, one that is not there, and a missing Nix are errors with what to do, and no traceback."""
    broken = nix.project({"flake.nix": "{ outputs = { self }: { devShells = ; }; }"}, "broken")
    done = broken.esker("activate", "--", "true")
    assert done.status == 1
    assert "syntax error, unexpected ';'" in done.err
    assert "Traceback" not in done.err
    project = flake("default = pkgs.mkShell { };")
    done = project.esker("activate", "--shell", "nowhere", "--", "true")
    assert "does not provide attribute" in done.err
    without = os.pathsep.join(part for part in nix.environ["PATH"].split(":") if not os.access(f"{part}/nix", os.X_OK))
    done = project.esker("activate", "--", "true", PATH=without)
    assert "`nix` is not on PATH" in done.err
    failing = flake(
        'default = pkgs.mkShell { packages = [ (pkgs.mkDerivation { name = "no"; buildCommand = "exit 1"; }) ]; };'
    )
    assert "-no.drv" in failing.esker("activate", "--", "true").err


def test_a_file_that_git_does_not_track(nix):
    """Nix says that it is missing, though it is there; the advice is what makes it part of the flake."""
    text = "{ outputs = { self }: { devShells.x86_64-linux.default = import ./shell.nix; }; }"
    project = nix.project({"flake.nix": text}, "untracked")
    (project.directory / "shell.nix").write_text("{ }")
    advice = f"hint: a flake has only the files that git tracks: git -C {project.directory} add {project.directory}/shell.nix\n"
    assert advice in project.esker("activate", "--", "true").err
    project.git("add", "--all")
    assert "only the files that git tracks" not in project.esker("activate", "--", "true").err
    alone = nix.project({"other": ""}, "untracked-flake")
    (alone.directory / "flake.nix").write_text("{ }")
    assert f"add {alone.directory}/flake.nix\n" in alone.esker("activate", "--", "true").err


def test_doctor_tries_the_store_of_nix(flake, nix, tmp_path):
    """A daemon that is not there and a store that cannot be written to are said, as an activation would find them."""
    project = flake("default = pkgs.mkShell { };")
    fine = project.esker("doctor")
    assert f"✔ environment  `flake.nix` in {project.directory}, for the runtime `nix`\n" in fine.out
    assert "toolchain" not in fine.out
    done = project.esker("doctor", NIX_REMOTE=f"unix://{tmp_path}/socket")
    assert done.status == 1
    assert f"✘ toolchain    Nix cannot use its store: cannot connect to socket at '{tmp_path}/socket'" in done.out
    assert "try it: nix store ping" in done.out
    done = project.esker("activate", "--", "true", NIX_REMOTE=f"unix://{tmp_path}/socket")
    assert f"cannot connect to socket at '{tmp_path}/socket'" in done.err
    code = "import os\nreal = os.access\nos.access = lambda path, mode: mode != os.W_OK and real(path, mode)\nfrom esker.runtimes.nix.command import check_store\ncheck_store(os.environ)"
    done = nix.run([sys.executable, "-c", code], cwd=project.directory, environ=nix.environ)
    assert f"Nix has no daemon here, and you cannot write to `{nix.environ['NIX_STORE_DIR']}`" in done.err


def test_a_shell_that_is_not_there(flake, nix):
    """The error has Nix's words, and the names of the shells that are there; so without a default shell."""
    project = flake("ci = pkgs.mkShell { }; docs = pkgs.mkShell { };")
    done = project.esker("activate", "--shell", "nope", "--", "true")
    assert "does not provide attribute" in done.err
    assert "hint: it has no shell `nope`; name one of ci, docs: --shell\n" in done.err
    assert (
        "hint: it has no default shell; name one of ci, docs: --shell\n" in project.esker("activate", "--", "true").err
    )
    text = "{ pkgs ? import <nixpkgs> { } }: { ci = pkgs.mkShell { }; docs = pkgs.mkShell { }; }"
    several = nix.project({"shell.nix": text}, "several")
    done = several.esker("activate", "--shell", "nope", "--", "true")
    assert "hint: it has no shell `nope`; name one of ci, docs: --shell\n" in done.err
    one = nix.project({"shell.nix": "(import <nixpkgs> { }).mkShell { }"}, "one")
    done = one.esker("activate", "--shell", "nope", "--", "true")
    assert "try it alone: nix" in done.err


def test_a_failing_hook_and_a_syntax_error_in_one(flake):
    """As for `nix develop`: a failure under `set -e` is an error, and after a syntax error it goes on, but tells it."""
    failing = "export A=1\nset -e\nfalse\nexport B=1"
    broken = "export A=1\nif true; then\nfi\nexport B=1"
    project = flake(
        f"default = pkgs.mkShell {{ shellHook = ''{failing}''; }}; broken = pkgs.mkShell {{ shellHook = ''{broken}''; }};"
    )
    done = project.esker("activate", "--", "true")
    assert done.status == 1
    first = (
        f"line 3 of the script, {project.directory}: The shellHook script did not complete normally: `false` has failed"
    )
    assert first in done.err
    assert project.nix("develop", "-c", "true", cwd=project.directory, check=False).status == 1
    done = project.esker("activate", "--shell", "broken", "--", "sh", "-c", "echo $A-$B")
    assert done.out == "1-\n"
    assert "syntax error near unexpected token `fi'" in done.err
    assert f"! shellHook has a syntax error (line 3 of the script, {project.directory})" in done.err
    assert project.nix("develop", ".#broken", "-c", "sh", "-c", "echo $A-$B", cwd=project.directory).out == "1-\n"


STRUCTURED = """derivation {
  name = "structured"; system = "x86_64-linux"; builder = "/bin/bash"; args = [ "-c" "echo > $out" ];
  __structuredAttrs = true; outputs = [ "out" ]; stdenv = "${self}/stdenv"; PLAIN = "a text";
  list = [ "a b" "c" ]; table = { key = "its value"; }; env = { GIVEN = "for programs"; };
  shellHook = ''export NUMBER=''${#list[@]} KEYED=''${table[key]}; export PATHS=$out'';
};"""
STRUCTURED_SETUP = """
if [ -e "${NIX_ATTRS_SH_FILE-}" ]; then . "$NIX_ATTRS_SH_FILE"; fi
export PATH=/usr/bin:/bin
for name in "${!env[@]}"; do export "$name=${env[$name]}"; done
for name in "${!outputs[@]}"; do export "$name=${outputs[$name]}"; done
"""


def test_structured_attributes(flake, nix):
    """Lists and tables are arrays of a bash, and a program finds the files that Nix makes of them."""
    project = flake(
        f"default = {STRUCTURED}",
        files={"stdenv/setup": STRUCTURED_SETUP},
    )
    own = project.variables()
    theirs = project.develop()
    for name in ("PLAIN", "GIVEN", "NUMBER", "KEYED", "PATHS"):
        assert own.get(name) == theirs.get(name), name
    assert (own["NUMBER"], own["KEYED"], own["GIVEN"]) == ("2", "its value", "for programs")
    assert own["PATHS"] == f"{project.directory}/outputs/out"
    if "2.8." in nix("--version", cwd=project.directory).out:  # it makes no such files for a shell
        assert project.activate("-c", 'echo "${list[0]}-${table[key]}"', FLOX_SHELL="bash") == "a b-its value\n"
        return
    said = project.activate("-c", 'echo "${list[0]}-${table[key]}"; cat "$NIX_ATTRS_JSON_FILE"', FLOX_SHELL="bash")
    first, record = said.split("\n", 1)
    assert first == "a b-its value"
    assert json.loads(record)["list"] == ["a b", "c"]
    assert project.activate("--", "bash", "-c", '. "$NIX_ATTRS_SH_FILE"; echo "${list[1]}"') == "c\n"


def test_a_flake_may_not_change_the_settings_of_nix(nix):
    """Its question is answered by nobody, and what it wants is said."""
    text = (
        '{ nixConfig.extra-substituters = [ "https://cache.example" ];\n'
        f'  inputs.nixpkgs.url = "path:{nix.nixpkgs}";\n'
        "  outputs = { self, nixpkgs }: { devShells.x86_64-linux.default = "
        "nixpkgs.legacyPackages.x86_64-linux.mkShell { }; }; }"
    )
    project = nix.project({"flake.nix": text}, "configured")
    done = project.esker("activate", "--", "true", stdin="y\ny\n")
    assert done.status == 0, done.err
    assert "ignoring untrusted flake configuration setting" in done.err
    assert not (nix.home / ".local/share/nix/trusted-settings.json").exists()
    assert "flake.lock does not pin every input" in done.err
    assert not (project.directory / "flake.lock").exists()


def test_services_go_by_what_the_activation_was_asked_for(flake):
    """With -s, a shell and an overridden input count for the services too, and Nix is asked once; errors name them."""
    manifest = """schema-version = "1.14.0"
[services]
web.command = 'echo "$FOO"; exec sleep 1000'
[plugins.esker]
runtime = "nix"
[plugins.esker.services.web]
healthcheck.log = "."
"""
    shells = 'default = throw "not asked for"; ci = pkgs.mkShell { FOO = "of ci"; };'
    project = flake(
        shells, files={".flox/env.json": '{"name": "shop", "version": 1}', ".flox/env/manifest.toml": manifest}
    )
    word = [sys.executable, "-m", "esker", "services", "logs", "web"]
    done = project.esker("activate", "--shell", "ci", "-s", "--", *word)
    assert "of ci" in done.out, done.err
    assert done.err.count("Asking Nix") == 1
    for words in (["start"], ["restart"], ["start", "--refresh"], ["hold", "--pid", str(os.getpid()), "--token", "x"]):
        project.esker("services", "stop")
        done = project.esker("services", *words, "--shell", "ci")
        assert done.status == 0, done.err
        assert project.esker("services", "logs", "web", "-n", "1").out == "of ci\n"
    project.esker("services", "stop")
    elsewhere = ["--override-input", f"nixpkgs=path:{project.nix.nixpkgs}", "--impure"]
    asked = Asked(project)
    assert project.esker("services", "start", "--shell", "ci", *elsewhere, **asked.path).status == 0
    assert asked.log.read_text().split().count("print-dev-env") == 1
    project.esker("services", "stop")
    assert "not asked for" in project.esker("services", "start").err
    done = project.esker("services", "start", "--override-input", "nixpkgs")
    assert "does not say what is taken in place of which input" in done.err
    done = project.esker("activate", "--shell", "no such", "--override-input", "nixpkgs=path:/nowhere", "--", "true")
    assert "develop --no-write-lock-file --override-input nixpkgs path:/nowhere '.#no such'" in done.err
    (project.directory / "flake.nix").unlink()
    done = project.esker("activate", "--", "true")
    assert "has neither `flake.nix` nor `shell.nix`, so Nix has nothing to give" in done.err


def test_other_commands_in_a_project_without_flox(flake, nix):
    """They say what is there, and what is not; `--json` asks nobody; what is kept of a removed project is removed."""
    test = "import os, pytest\n@pytest.mark.esker\ndef test_it(): assert os.environ['FOO'] == 'bar'\n"
    project = flake('default = pkgs.mkShell { FOO = "bar"; };', files={"tests/test_it.py": test})
    done = project.esker("activate", "--json")
    assert done.status == 1
    assert "has to ask nix for its environment first" in done.err
    assert project.activate("--", "sh", "-c", "echo $FOO") == "bar\n"
    assert json.loads(project.activate("--json"))["set"]["FOO"] == "bar"
    for arguments in (["services", "status"], ["services", "start"]):
        done = project.esker(*arguments)
        assert done.status == 1
        assert "Environment does not have any services defined." in done.err
    said = project.esker("doctor", "-d", str(project.directory)).out
    assert f"`flake.nix` in {project.directory}, for the runtime `nix`" in said
    inner = project.activate("--", sys.executable, "-m", "esker", "envs", "--active")
    assert str(project.directory) in inner
    done = project.esker("activate", "--generation", "1", "--", "true")
    assert "`--generation` is for environments in `.flox`" in done.err
    done = project.esker("activate", "--override-input", "nixpkgs", "--", "true")
    assert "does not say what is taken in place of which input" in done.err
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = nix.run(argv, cwd=project.directory, environ=nix.environ)
    assert "1 passed" in done.out, done.out
    kept = nix.home / ".local/state/esker/projects"
    before = {path.name for path in kept.iterdir() if project.directory.name[:40] in path.name}
    assert len(before) == 1
    shutil.rmtree(project.directory)
    flake("default = pkgs.mkShell { };").variables()
    assert before.isdisjoint(path.name for path in kept.iterdir())


def test_a_warm_activation_loads_few_modules(flake, nix):
    """Beside those of any warm activation it loads a handful, none of which is heavy, and starts no program."""
    project = flake("default = pkgs.mkShell { };")
    project.variables()
    assert loaded(project.directory, nix.environ) - MODULES - {
        "_operator",
        "operator",
        "zlib",
        "_blake2",
        "_signal",
    } == {
        *("esker.activate.program_of_tool", "esker.cli.other_runtime", "esker.host.named_tuple"),
        *("esker.host.temporary", "esker.runtimes.foreign", "esker.runtimes.foreign.choice"),
        *("esker.runtimes.foreign.place", "esker.runtimes.foreign.runtime"),
    }


def test_a_hook_of_a_tool_adds_no_heavy_module(flake, nix):
    """Where a shellHook runs, none is loaded that takes milliseconds; what the hook leaves is for shells."""
    project = flake(f"default = pkgs.mkShell {{ shellHook = ''{HOOK}''; }};")
    project.variables()
    modules = loaded(project.directory, nix.environ)
    assert "esker.activate.hook" in modules
    assert modules.isdisjoint(HEAVY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's project")
def test_another_users_flake_has_to_be_trusted(flake, nix):
    """It is refused before Nix evaluates it, until it is trusted."""
    project = flake("default = pkgs.mkShell { };")
    os.chown(project.directory / "flake.nix", 4242, 4242)
    done = project.esker("activate", "--", "true")
    assert done.status == 1
    assert "belongs to uid 4242" in done.err
    assert project.esker("trust", str(project.directory)).status == 0
    assert project.esker("activate", "--", "true").status == 0
