"""The documentation is true: its code runs, its links and options exist, its tables are current.

Python blocks run, page by page, in a folder with the sample rasters under the names that the pages
use. C++ blocks are compiled into one program, which is run there too. `deeplight` lines are parsed
by the command line itself, and those that take no time are run.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from torch.distributed.run import get_args_parser

import deeplight
from deeplight import cli, weights

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / os.environ.get("DEEPLIGHT_PRESET", "default")
SAMPLE = ROOT / "python" / "deeplight" / "sample_data" / "black_marble"
PAGES = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))
NAMES = {"ntl.tif": "ntl_lr_x8.tif", "hr.tif": "ntl_hr.tif"} | {
    f"{name}.tif": f"{name}.tif" for name in ("dmo", "dem", "settlement_proxy")
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(not deeplight._native.has_raster, reason="built without GDAL")

rasterio = pytest.importorskip("rasterio")


def page_id(page):
    return str(page.relative_to(ROOT))


def blocks(page, *languages):
    """(line of the first code line, code) of every block in one of the languages."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start(2)) + 1, match.group(2))
        for match in FENCE.finditer(text)
        if match.group(1) in languages
    ]


def prose(page):
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def pages_with(*languages):
    return [page for page in PAGES if blocks(page, *languages)]


def write_quality(low_resolution, path):
    """A quality raster with a cloud, bit 3."""
    with rasterio.open(low_resolution) as source:
        profile = source.profile | {"dtype": "uint8", "nodata": None}
    bits = np.zeros((profile["height"], profile["width"]), np.uint8)
    bits[2:5, 3:9] = 1 << 3
    with rasterio.open(path, "w", **profile) as target:
        target.write(bits, 1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Rasters and weights under the names that the pages use."""
    folder = tmp_path_factory.mktemp("docs")
    for name, source in NAMES.items():
        shutil.copy(SAMPLE / source, folder / name)
    for month in ("jan", "feb", "mar"):
        shutil.copy(SAMPLE / "ntl_lr_x8.tif", folder / f"{month}.tif")
    write_quality(folder / "ntl.tif", folder / "qa.tif")
    (folder / "results").mkdir()
    if "black-marble-x8" in weights.list_weights():
        shipped = weights.resolve_weights("black-marble-x8")
        shutil.copy(shipped, folder / "model.safetensors")
        shutil.copy(shipped.with_suffix(".json"), folder / "model.json")
    else:
        untrained(folder / "model.safetensors")
    return folder


def untrained(path):
    """Stands in for the shipped weights in a build without them: the same guides, no training."""
    guides = [{"name": "dmo", "bands": 15}, {"name": "dem", "bands": 1}]
    options = {"scale": 8, "width": 8, "guides": guides, "refine": {"bicubic_skip": True}}
    card = {
        "name": "black-marble-x8",
        "architecture": "deeplight_sr",
        "options": options,
        "scale": 8,
        "preprocessing": {
            "low_resolution": {"std": 32.0},
            "guides": [{**guide, "std": [255.0] * guide["bands"]} for guide in guides],
        },
    }
    weights.save(deeplight.create_model("deeplight_sr", **options), card, path)


@pytest.fixture
def folder(prepared, tmp_path, monkeypatch):
    """A fresh copy as working folder, in which `black-marble-x8` exists in any case."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    if "black-marble-x8" not in weights.list_weights():
        shipped = tmp_path / "shipped"
        shipped.mkdir()
        for suffix in ("safetensors", "json"):
            shutil.copy(tmp_path / f"model.{suffix}", shipped / f"black-marble-x8.{suffix}")
        monkeypatch.setattr(weights, "_SHIPPED", shipped)
    return tmp_path


@pytest.mark.parametrize("page", pages_with("python"), ids=page_id)
def test_python_blocks_run(page, folder, capsys):
    namespace = {"__name__": "__main__"}
    for line, code in blocks(page, "python"):
        # Compiled at its own line, so that a traceback points into the page.
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)


# C++: every block in a namespace of its own, or in a function where it is statements only.


def as_function(name, line, page, code):
    """(includes, code that defines `int NAME()`) of one block."""
    includes = re.findall(r"^#include .*$", code, re.MULTILINE)
    body = re.sub(r"^#include .*$", "", code, flags=re.MULTILINE)
    marked = f'#line {line} "{page}"\n{body}'
    if re.search(r"^int main\(\)", body, re.MULTILINE):
        wrapped = f"namespace {name}_block {{\n{marked}\n}}\n"
        return includes, f"{wrapped}int {name}() {{ return {name}_block::main(); }}\n"
    return includes, f"int {name}() {{\n{marked}\n  return 0;\n}}\n"


def program():
    """One translation unit of all blocks: includes first, then a main that runs them in turn."""
    includes, functions, calls = {"#include <cstdio>", "#include <exception>"}, [], []
    for page in pages_with("cpp"):
        for line, code in blocks(page, "cpp"):
            name = f"{re.sub('[^a-z]', '_', page.stem.lower())}_{line}"
            wanted, function = as_function(name, line, page_id(page), code)
            includes.update(wanted)
            functions.append(function)
            calls.append(f'  failed += run("{page_id(page)}:{line}", {name});')
    runner = """
int run(const char* where, int (*block)()) try {
  const int code = block();
  if (code != 0) std::fprintf(stderr, "%s returned %d\\n", where, code);
  return code != 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s: %s\\n", where, error.what());
  return 1;
}
int main() {
  int failed = 0;
"""
    parts = [*sorted(includes), *functions, '#line 1 "runner"', runner, *calls]
    return "\n".join([*parts, "  return failed;", "}", ""])


def flags_of_the_build():
    """Compile flags of a source that sees everything, from the build's own database."""
    import json

    entries = json.loads((BUILD / "compile_commands.json").read_text())
    command = next(e["command"] for e in entries if e["file"].endswith("src/infer.cpp"))
    words = shlex.split(command)
    taken, kept = iter(words[1:]), []
    for word in taken:
        if word in ("-isystem", "-I"):
            kept += [word, next(taken)]
        elif word.startswith(("-I", "-D", "-isystem", "-std=")):
            kept.append(word)
    return kept


def test_cpp_blocks_compile_and_run(folder):
    package = ROOT / "python" / "deeplight"
    torch_folder = Path(torch.__file__).parent / "lib"
    # A steady place lets the compiler cache work.
    place = ROOT / "build" / "docs"
    place.mkdir(parents=True, exist_ok=True)
    source, made = place / "blocks.cpp", place / "blocks.o"
    source.write_text(program())
    compiler = [shutil.which("ccache")] if shutil.which("ccache") else []
    compile_ = [*compiler, "g++", *flags_of_the_build(), "-O0", "-w", "-c", source, "-o", made]
    link = [
        "g++", made, "-o", place / "blocks",
        BUILD / "libdeeplight_raster_compiled.a", BUILD / "libdeeplight_compiled.a",
        f"-L{package}", "-Wl,--no-as-needed", "-ldeeplight_ops", f"-Wl,-rpath,{package}",
        "-lstdc++", f"-L{torch_folder}", "-ltorch", "-ltorch_cpu", "-lc10",
        f"-Wl,-rpath,{torch_folder}", "-Wl,--allow-shlib-undefined", "-lgdal", "-lpthread",
    ]  # fmt: skip
    for command in (compile_, link, [place / "blocks"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]


# The command line.


def shell_lines(page):
    """Commands of console and bash blocks, without prompt, with continued lines joined."""
    for line, code in blocks(page, "console", "bash"):
        for offset, text in enumerate(code.replace("\\\n", " ").splitlines()):
            command = shlex.split(text.removeprefix("$ "), comments=True)
            if command:
                yield line + offset, command


COMMANDS = [
    pytest.param(command, id=f"{page_id(page)}:{line}")
    for page in PAGES
    for line, command in shell_lines(page)
]
QUICK = ("predict", "info", "list", "doctor")


def parse(arguments):
    """Raises unless the command and its arguments exist."""
    group = typer.main.get_command(cli.app)
    command = group.get_command(None, arguments[0])
    assert command is not None, f"no such command: {arguments[0]}"
    command.make_context(arguments[0], list(arguments[1:]))


@pytest.mark.parametrize("command", COMMANDS)
def test_shell_lines(command, folder, capsys):
    program, *arguments = command
    if program == "torchrun":
        options = get_args_parser().parse_args(arguments)
        assert options.module and options.training_script == "deeplight"
        parse(options.training_script_args)
    elif program == "deeplight":
        parse(arguments)
        if arguments[0] == "evaluate":  # of a raster that an earlier line has written
            shutil.copy("hr.tif", "sr.tif")
        if arguments[0] in (*QUICK, "evaluate"):
            with pytest.raises(SystemExit) as stop:
                cli.main(arguments)
            assert stop.value.code == 0, capsys.readouterr().err
    elif program.startswith("./dev") or ("=" in program and "./dev" in arguments):
        step = arguments[arguments.index("./dev") + 1] if "./dev" in arguments else arguments[0]
        assert re.search(rf"^  {step}\)", (ROOT / "dev").read_text(), re.MULTILINE), step
    elif program == "python":
        script = ROOT / arguments[0]
        assert script.exists(), f"no such script: {arguments[0]}"
        named = {argument for argument in arguments if argument.startswith("--")}
        assert all(f'"{option}"' in script.read_text() for option in named)
    else:
        assert program in ("pip", "cmake", "git"), f"who runs {program}?"


def known_options():
    """Every option of every command."""
    group = typer.main.get_command(cli.app)
    known = {"--help", "--debug", "--version"}
    for name in cli.COMMANDS:
        for parameter in group.get_command(None, name).params:
            known.update(parameter.opts, parameter.secondary_opts)
    return known


OTHERS = {"--fix", "--tidy", "--preset", "--build", "--install", "--prefix", "--check", "--cases"}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_options_named_in_the_text_exist(page):
    named = set()
    for span in re.findall(r"`([^`\n]+)`", prose(page)):
        named.update(re.findall(r"(?<![\w-])--[a-z][a-z-]*", span))
    unknown = named - known_options() - OTHERS - {"--tiles"}  # the last: an example of a wrong one
    # Options of pip, cmake and git stand in whole commands of theirs.
    foreign = re.findall(r"`(?:pip|cmake|git|ctest) [^`]*`", prose(page))
    assert not {option for option in unknown if not any(option in text for text in foreign)}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page):
    text = prose(page)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        if target.startswith("docs/images/") and not weights.list_weights():
            continue  # made with the shipped weights
        path = target.split("#")[0]
        assert (page.parent / path).exists(), f"{page_id(page)} links to '{path}'"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_files_named_in_the_text_exist(page):
    """Paths in backticks that begin with a folder of the repository."""
    folders = "docs examples scripts tests configs cmake bindings python src include"
    for span in re.findall(r"`([^`\s]+)`", prose(page)):
        first = span.split("/")[0]
        if first not in folders.split() or "/" not in span or re.search(r"[*{<]|[/_]x[._]", span):
            continue
        assert (ROOT / span).exists(), f"{page_id(page)} names '{span}'"


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        if page.name != "README.md":
            assert f"({page.relative_to(ROOT / 'docs')})" in index, page.name


def test_every_floor_has_its_words():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    floors = {header.parent for header in (ROOT / "include" / "deeplight").rglob("*.hpp")}
    for floor in floors:
        assert f"`{floor.name}`" in text, floor.name


@pytest.fixture(scope="module")
def make_docs():
    path = ROOT / "scripts" / "make_docs.py"
    spec = importlib.util.spec_from_file_location("make_docs", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_docs"] = module
    spec.loader.exec_module(module)
    return module


def test_generated_blocks_are_current(make_docs):
    stale = [page_id(page) for page in make_docs.stale_pages()]
    assert not stale, f"./dev docs would change {stale}"


def test_every_generator_is_used_and_every_option_has_a_meaning(make_docs):
    text = "".join(page.read_text(encoding="utf-8") for page in make_docs.pages())
    used = set(re.findall(r"<!-- generated: (\w+) -->", text))
    assert used == set(make_docs.BLOCKS)
    defaults = deeplight.models.model_info("deeplight_sr").default_options
    assert all(meaning for _, _, meaning in make_docs.option_rows(defaults))


def test_an_unclosed_or_unknown_block_is_an_error(make_docs):
    with pytest.raises(ValueError, match="not closed"):
        make_docs.regenerated("<!-- generated: models -->\n", {})
    with pytest.raises(ValueError, match="unknown block 'modles'"):
        make_docs.regenerated("<!-- generated: modles -->\n<!-- end -->\n", {})
