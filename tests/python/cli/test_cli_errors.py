"""Exit codes, one-line errors, laziness: the program as a shell sees it."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import typer

from deeplight import cli
from deeplight.cli import errors


def deeplight(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "deeplight", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


class TestProgram:
    def test_help_names_every_command_and_loads_no_torch(self):
        code = (
            "import sys; from deeplight.cli import main\n"
            "try: main(['--help'])\n"
            "finally: assert not {'torch', 'numpy', 'deeplight._native'} & set(sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        for name in cli.COMMANDS:
            assert name in done.stdout

    def test_help_is_fast(self):
        deeplight("--help")  # byte-compiles
        times = []
        for _ in range(3):
            start = time.perf_counter()
            assert deeplight("--help").returncode == 0
            times.append(time.perf_counter() - start)
        assert min(times) < 1.0

    def test_no_command_prints_help(self):
        done = deeplight()
        assert done.returncode == 0
        assert "Commands" in done.stdout

    def test_version(self):
        done = deeplight("--version")
        assert done.returncode == 0
        assert done.stdout.startswith("deeplight ")
        assert done.stdout.count(".") == 2

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["predcit"], "Did you mean 'predict'"),
            (["zzz"], "No such command 'zzz'"),
            (["info"], "Missing argument"),
            (["info", "--jsn", "x"], "No such option"),
            (["--nope"], "No such option"),
            (["info", "missing.tif"], "no such file: 'missing.tif'"),
            (["info", "missing.safetensors"], "no such weights file: 'missing.safetensors'"),
            (["info", "no-such-name"], "no weights named 'no-such-name'"),
            (["info", "model.pth"], "convert it"),
        ],
    )
    def test_wrong_use_is_2_and_one_line(self, arguments, expected, tmp_path):
        done = deeplight(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("deeplight: error: ")
        assert done.stderr.count("\n") == 1
        assert expected in done.stderr

    def test_failure_is_1_and_debug_shows_where(self, tmp_path):
        (tmp_path / "x.safetensors").write_bytes(b"\xff" * 20)
        done = deeplight("info", "x.safetensors", cwd=tmp_path)
        assert done.returncode == 1
        assert "x.safetensors" in done.stderr
        assert "Traceback" not in done.stderr
        for arguments in (["--debug", "info"], ["info", "--debug"]):
            done = deeplight(*arguments, "x.safetensors", cwd=tmp_path)
            assert done.returncode == 1
            assert "Traceback" in done.stderr

    def test_a_closed_pipe_is_quiet(self):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "w") as broken:
            done = subprocess.run(
                [sys.executable, "-m", "deeplight", "--help"],
                stdout=broken,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert done.stderr == ""

    def test_ctrl_c_is_130(self):
        code = textwrap.dedent("""
            import sys, time, typer
            from deeplight.cli import errors
            app = typer.Typer()
            @app.command()
            def wait():
                print("ready", flush=True)
                time.sleep(60)
            sys.exit(errors.run(typer.main.get_command(app), []))
        """)
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "Traceback" not in error


def outcome(raised, debug=False):
    single = typer.Typer()

    @single.command()
    def command():
        raise raised

    return errors.run(typer.main.get_command(single), [], debug=debug)


@pytest.mark.parametrize(
    ("raised", "code", "expected"),
    [
        (ValueError("guide 'dem' is\n  wrong"), 1, "guide 'dem' is wrong"),
        (errors.WrongUseError("no guide"), 2, "no guide"),
        (FileNotFoundError(2, "No such file or directory", "a.tif"), 1, "directory: 'a.tif'"),
        (OSError("cannot write 'x': disk full"), 1, "cannot write 'x': disk full"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("native"), 1, "native"),
        (KeyError("k"), 1, "internal: KeyError"),
        (typer.BadParameter("scale must be 2"), 2, "scale must be 2"),
        (typer.Abort(), 130, "interrupted"),
        (typer.Exit(1), 1, ""),
        (typer.Exit(0), 0, ""),
    ],
)
def test_every_exception_is_one_line_and_a_code(raised, code, expected, capsys):
    assert outcome(raised) == code
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == (1 if expected else 0)


def test_warnings_are_one_line(capsys):
    single = typer.Typer()

    @single.command()
    def command():
        import warnings

        warnings.warn("the cell size\ndiffers", stacklevel=1)

    assert errors.run(typer.main.get_command(single), []) == 0
    assert capsys.readouterr().err == "deeplight: warning: the cell size differs\n"


def test_wrong_use_marks_checks_of_arguments():
    with pytest.raises(errors.WrongUseError, match="bad"), errors.wrong_use():
        raise ValueError("bad")
    with pytest.raises(OSError, match="disk"), errors.wrong_use():
        raise OSError("disk")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_an_example(name):
    done = deeplight(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"deeplight {name}" in done.stdout
    assert "$ deeplight" in done.stdout
