# Steps of ./dev, sourced by it.
VENV="$PWD/.venv"
PY="$VENV/bin/python"
PRESET="${DEEPLIGHT_PRESET:-default}"
export PATH="$VENV/bin:$PATH"
APT_PACKAGES="g++ git python3-dev python3-venv libgdal-dev libxtensor-dev doctest-dev nlohmann-json3-dev libxsimd-dev ccache"

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

dev_system_packages() {
  command -v dpkg-query >/dev/null || return 0  # not Debian: the README lists what is needed
  local missing=()
  for package in $APT_PACKAGES; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "dev: install these packages first: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  say "installing system packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

dev_setup() {
  dev_system_packages
  local want
  want=$(sha256sum requirements-dev.txt | cut -d' ' -f1)
  if [ "$(cat "$VENV/.requirements" 2>/dev/null)" != "$want" ]; then
    say "installing Python packages into .venv (about 6 GB, a few minutes)"
    [ -x "$PY" ] || "${DEEPLIGHT_PYTHON:-python3}" -m venv "$VENV"
    "$PY" -m pip install --quiet --disable-pip-version-check --upgrade pip
    "$PY" -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
    echo "$want" > "$VENV/.requirements"
  fi
  local site
  site=$(echo "$VENV"/lib/python3.*/site-packages)
  if [ "$(cat "$site/deeplight-dev.pth" 2>/dev/null)" != "$PWD/python" ]; then
    echo "$PWD/python" > "$site/deeplight-dev.pth"
  fi
  if [ ! -x "$VENV/bin/deeplight" ]; then
    printf '#!%s\nfrom deeplight.cli import main\nmain()\n' "$PY" > "$VENV/bin/deeplight"
    chmod +x "$VENV/bin/deeplight"
  fi
}

dev_configure() {
  [ -f "build/$PRESET/build.ninja" ] && return 0
  say "configuring build/$PRESET"
  cmake --preset "$PRESET" -DPython3_EXECUTABLE="$PY" >"build-configure.log" 2>&1 \
    || { cat build-configure.log >&2; rm -f build-configure.log; exit 1; }
  rm -f build-configure.log
}

dev_build() {
  dev_configure
  local targets=()
  for target in "$@"; do targets+=(--target "$target"); done
  # Ninja's two lines for "nothing to do" are noise; everything else is progress or an error.
  cmake --build "build/$PRESET" "${targets[@]}" 2>&1 \
    | { grep --line-buffered -v -e 'Re-checking globbed' -e 'ninja: no work to do' || true; } >&2
}

dev_asan() {
  [ -f build/asan/build.ninja ] || cmake --preset asan >/dev/null
  cmake --build build/asan 2>&1 | { grep -v -e 'Re-checking globbed' -e 'no work to do' || true; } >&2
  # GDAL keeps its driver tables until the process ends: not ours to free.
  local program
  for program in build/asan/deeplight_base_tests build/asan/deeplight_kernel_tests_*; do
    [ -x "$program" ] || continue
    ASAN_OPTIONS=detect_leaks=0 "$program" --minimal
  done
}

dev_test() {
  say "C++ tests"
  ctest --test-dir "build/$PRESET" --output-on-failure
  say "C++ tests of the torch-free floors under AddressSanitizer and UndefinedBehaviorSanitizer"
  dev_asan
  say "Python tests"
  "$PY" -m pytest tests/python -n 2 --dist loadfile "$@"
}

dev_stubs() {
  "$PY" scripts/make_stubs.py
}

dev_lint() {
  local fix=0 tidy=0
  for argument in "$@"; do
    case "$argument" in
      --fix) fix=1 ;;
      --tidy) tidy=1 ;;
      *) echo "dev lint: unknown argument '$argument' (--fix, --tidy)" >&2; exit 2 ;;
    esac
  done
  local sources
  sources=$(git ls-files -co --exclude-standard '*.hpp' '*.cpp' '*.cuh' '*.cu')
  if [ $fix = 1 ]; then
    clang-format -i $sources
    ruff check --fix . && ruff format .
  else
    clang-format --dry-run -Werror $sources
    ruff check . && ruff format --check .
  fi
  mypy
  if [ $tidy = 1 ]; then
    dev_configure
    git ls-files 'src/*.cpp' 'bindings/**/*.cpp' | xargs -P 2 -n 1 clang-tidy --quiet -p "build/$PRESET"
  fi
}

dev_fuzz() {
  say "building the fuzzer (clang, AddressSanitizer)"
  mkdir -p build/fuzz/corpus
  clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -Iinclude \
    tests/fuzz/safetensors_fuzz.cpp -o build/fuzz/safetensors_fuzz
  build/fuzz/safetensors_fuzz -max_len=65536 -dict=tests/fuzz/safetensors.dict \
    "${@:--max_total_time=60}" build/fuzz/corpus tests/fuzz/corpus
}
