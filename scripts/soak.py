#!/usr/bin/env python3
"""Does the worst to the library, for as long as asked, and keeps count.

    ./dev soak faults 10000       # I/O calls of GDAL that fail
    ./dev soak damage 10000       # damaged rasters
    ./dev soak memory 1000        # reading with ever less address space
    ./dev soak checkpoints 100000 # damaged checkpoints
    ./dev soak resume 1000        # predictions killed at random moments and resumed
    ./dev soak shards 100         # shards and their merging, killed at random moments
    ./dev soak race 100           # two processes that write one output
    ./dev soak disk 50            # predictions onto a disk that is too small; needs root
    ./dev soak starved 200        # predictions with too little address space
    ./dev soak tsan 10            # ThreadSanitizer over the torch-free parts that have threads
    ./dev soak report             # the totals

The totals lie in ``build/soak/``; a later call adds to them. Exit code 1 where anything was
silently wrong, crashed, or ended in an error that is none of ours. Training has its own:
``scripts/soak_training.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import soak_prediction

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/soak"

RASTER, CHECKPOINT = "raster_soak", "checkpoint_soak"
#: Tests whose subjects run in threads, or are used by several.
THREADED = (
    "core/files",
    "infer/pipeline",
    "infer/raster_pipeline",
    "infer/tensor_pool_threads",
    "infer/tile_store",
    "raster/raster_reader",
    "raster/raster_source",
    "raster/raster_writer",
)
#: GDAL takes two locks of its own in either order as it starts.
SUPPRESSED = "deadlock:libgdal.so\n"
#: Kind -> program and its leading arguments.
PROGRAMS = {
    "faults": (RASTER, ["faults"]),
    "damage": (RASTER, ["damage"]),
    "memory": (RASTER, ["memory"]),
    "checkpoints": (CHECKPOINT, []),
}
PREDICTIONS = {
    "resume": soak_prediction.resume,
    "shards": soak_prediction.shards,
    "race": soak_prediction.race,
    "disk": soak_prediction.small_disk,
    "starved": soak_prediction.starved,
}
#: Counts of which each must stay 0.
BAD = ("silent", "untyped", "leftovers", "crashed", "different", "reports", "failed")
BATCH = {
    "checkpoints": 20000,
    "resume": 10,
    "shards": 10,
    "race": 10,
    "disk": 10,
    "starved": 10,
    "tsan": 1,
}


def main() -> int:
    """Returns 1 where a total that must be 0 is not."""
    parser = argparse.ArgumentParser(description="Faults, damage and kills, counted.")
    parser.add_argument("kind", choices=[*PROGRAMS, *PREDICTIONS, "tsan", "report"])
    parser.add_argument("count", type=int, nargs="?", default=1000, help="to add to the total")
    parser.add_argument("--seed", type=int, help="of the first batch; the clock's if absent")
    options = parser.parse_args()
    if options.kind == "report":
        return report()
    seed = options.seed if options.seed is not None else time.time_ns() % 2**31
    left = options.count
    while left > 0:
        size = min(left, BATCH.get(options.kind, 1000))
        if options.kind in PROGRAMS:
            counts = run_program(options.kind, size, seed)
        elif options.kind == "tsan":
            counts = sanitize(size)
        else:
            counts = PREDICTIONS[options.kind](size, random.Random(seed))
        totals = add(options.kind, counts)
        print(f"{options.kind}: {json.dumps(totals)}", flush=True)
        if any(counts.get(name, 0) for name in BAD):
            print(f"{options.kind}: seed {seed} failed: {json.dumps(counts)}", file=sys.stderr)
            if options.kind in PREDICTIONS:
                print(soak_prediction.last_words(), file=sys.stderr)
            return 1
        left -= size
        seed += 1
    return 0


def report() -> int:
    """Prints the totals as a table."""
    totals = {path.stem: json.loads(path.read_text()) for path in sorted(BUILD.glob("*.json"))}
    for kind, counts in totals.items():
        print(f"{kind:12}", ", ".join(f"{name} {value}" for name, value in counts.items()))
    return int(any(counts.get(name, 0) for counts in totals.values() for name in BAD))


def run_program(kind: str, count: int, seed: int) -> dict[str, int]:
    """Counts of one run of a C++ program."""
    name, arguments = PROGRAMS[kind]
    command = [str(compiled(name)), *arguments, str(count), str(seed)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 1):
        return {"crashed": 1}
    counts: dict[str, int] = json.loads(done.stdout)
    return counts


def sanitize(count: int) -> dict[str, int]:
    """Runs the tests of what has threads under ThreadSanitizer, `count` times."""
    program, suppressed = threaded_tests(), BUILD / "tsan.txt"
    suppressed.write_text(SUPPRESSED)
    # Addresses at random may lie where ThreadSanitizer has its own.
    command = ["setarch", platform.machine(), "--addr-no-randomize", str(program)]
    environment = {**os.environ, "TSAN_OPTIONS": f"suppressions={suppressed}"}
    counts = {"runs": 0, "cases": 0, "reports": 0, "failed": 0, "crashed": 0}
    for _ in range(count):
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        cases = re.search(r"test cases: +(\d+) \| +(\d+) passed \| +(\d+) failed", done.stdout)
        reports = done.stdout.count("WARNING: ThreadSanitizer")
        counts["runs"] += 1
        counts["reports"] += reports
        counts["cases"] += int(cases[1]) if cases else 0
        counts["failed"] += int(cases[3]) if cases else 0
        counts["crashed"] += cases is None
        if reports or cases is None or cases[3] != "0":
            print(done.stdout, file=sys.stderr)
    return counts


def threaded_tests() -> Path:
    """The tests of :data:`THREADED` with ThreadSanitizer, compiled where something is newer."""
    folder = BUILD / "tsan"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "tests"
    headers = [*ROOT.glob("include/deeplight/**/*.hpp"), *ROOT.glob("tests/cpp/**/*.hpp")]
    sources = [ROOT / "tests/cpp/main.cpp"]
    sources += [ROOT / f"tests/cpp/{name}_test.cpp" for name in THREADED]
    newest = max(path.stat().st_mtime for path in [*headers, *sources])
    if program.exists() and program.stat().st_mtime > newest:
        return program
    common = ["g++", "-std=c++20", "-O1", "-g1", "-fsanitize=thread"]
    gdal = {
        kind: subprocess.run(
            ["gdal-config", kind], capture_output=True, text=True, check=True
        ).stdout.split()
        for kind in ("--cflags", "--libs")
    }
    # Of PyTorch the allocator alone: the rest is not compiled for ThreadSanitizer.
    torch = Path(sysconfig.get_path("purelib")) / "torch"
    objects = [folder / f"{source.stem}.o" for source in sources]
    for source, made in zip(sources, objects, strict=True):
        include = [f"-I{ROOT}/include", f"-I{ROOT}/tests/cpp", *gdal["--cflags"]]
        include += ["-isystem", f"{torch}/include"]
        subprocess.run([*common, *include, "-c", str(source), "-o", str(made)], check=True)
    libraries = [*gdal["--libs"], f"{torch}/lib/libc10.so", f"-Wl,-rpath,{torch}/lib"]
    subprocess.run([*common, *map(str, objects), *libraries, "-o", str(program)], check=True)
    return program


def compiled(name: str) -> Path:
    """The program, compiled anew where a header or its source is newer."""
    program, source = BUILD / name, ROOT / f"tests/soak/{name}.cpp"
    sources = [source, *ROOT.glob("include/deeplight/**/*.hpp"), *ROOT.glob("tests/cpp/**/*.hpp")]
    if program.exists() and program.stat().st_mtime > max(x.stat().st_mtime for x in sources):
        return program
    BUILD.mkdir(parents=True, exist_ok=True)
    command = ["g++", "-std=c++20", "-O1", f"-I{ROOT}/include", f"-I{ROOT}/tests/cpp", str(source)]
    if name == RASTER:
        flags = [["gdal-config", "--cflags"], ["gdal-config", "--libs"]]
        for flag in flags:
            command += subprocess.run(
                flag, capture_output=True, text=True, check=True
            ).stdout.split()
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def add(kind: str, counts: dict[str, int]) -> dict[str, int]:
    """Adds to the totals on disk, whole or not at all: this script may be killed as well."""
    path = BUILD / f"{kind}.json"
    totals: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    for name, value in counts.items():
        totals[name] = totals.get(name, 0) + value
    BUILD.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(totals) + "\n")
    temporary.replace(path)
    return totals


if __name__ == "__main__":
    sys.exit(main())
