#!/usr/bin/env bash
# Checks and measures prefgrad on this machine's NVIDIA GPU. Needs the driver; for the bench's peers a python3 with PyTorch, for
# the sanitizers compute-sanitizer of a CUDA toolkit.
#
#   bash gpu.sh [FOLDER] [conformance|sanitizer|bench|all] [options of the bench...]
#
# FOLDER (default: results) gets summary.json, a log of each step, and the bench's JSON. The exit code is 0 when every step
# passed. Each step has a limit in seconds: PREFGRAD_TEST_SECONDS, PREFGRAD_SANITIZER_SECONDS (each tool), PREFGRAD_BENCH_SECONDS.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-results}
what=${2:-all}
bench_options=("${@:3}")
test_seconds=${PREFGRAD_TEST_SECONDS:-180}
sanitizer_seconds=${PREFGRAD_SANITIZER_SECONDS:-100}
bench_seconds=${PREFGRAD_BENCH_SECONDS:-560}

case $what in
  conformance | sanitizer | bench | all) ;;
  *)
    echo "usage: bash gpu.sh [FOLDER] [conformance|sanitizer|bench|all] [options of the bench...]" >&2
    exit 2
    ;;
esac
mkdir -p "$folder"
out=$(cd "$folder" && pwd)
steps=()
failed=0

# What the device is called must not come from the environment, nor which emulator.
unset PREFGRAD_DEVICE PREFGRAD_EMULATOR PREFGRAD_EMULATOR_SCHEDULE PREFGRAD_EMULATOR_FAIL
PREFGRAD_COMMIT=$(cat "$here/commit")
export PREFGRAD_COMMIT

unpack_node() {
  [ -x "$here/node" ] && return
  echo "unpacking node"
  if command -v xz > /dev/null; then
    xz --decompress --stdout "$here/node.xz" > "$here/node.part"
  else
    python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], "wb"))' \
      "$here/node.xz" "$here/node.part"
  fi && chmod +x "$here/node.part" && mv "$here/node.part" "$here/node"
}

count() { # count WORD LOG: lines of TAP that say so
  local found
  found=$(grep -cE "^$1 [0-9]+ - " "$2")
  echo "${found:-0}"
}

record() { # record NAME STATUS SECONDS LOG
  local log=$out/$4
  steps+=("{\"name\": \"$1\", \"status\": \"$2\", \"seconds\": $3, \"passed\": $(count ok "$log"), \"failed\": $(count 'not ok' "$log"), \"log\": \"$4\"}")
  echo "$1: $2, $3 s, $(count ok "$log") tests passed, $(count 'not ok' "$log") failed ($4)"
}

step() { # step NAME LIMIT LOG COMMAND...
  local name=$1 limit=$2 log=$3 begun=$SECONDS status=passed code
  shift 3
  echo "== $name (at most $limit s)"
  timeout --kill-after=10 "$limit" "$@" > "$out/$log" 2>&1
  code=$?
  if [ $code -eq 124 ] || [ $code -eq 137 ]; then
    status=timeout
  elif [ $code -ne 0 ]; then
    status=failed
  elif [ "$name" != bench ] && [ "$(count ok "$out/$log")" -eq 0 ]; then
    # Tests that found no device have found no fault either.
    status=failed
  fi
  if [ $status != passed ]; then
    failed=1
    grep -E "^not ok|ERROR SUMMARY|error:|========= (Invalid|Error|Race|Uninit|Barrier)" "$out/$log" | head -20
    tail -n 5 "$out/$log"
  fi
  record "$name" "$status" $((SECONDS - begun)) "$log"
}

run_tests() {
  step conformance "$test_seconds" tests.log "$here/node" --test --test-reporter=tap "$here"/dist/test/cuda_*.test.js
}

run_sanitizers() {
  local tool sanitizer
  sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2> /dev/null)
  if [ -z "$sanitizer" ]; then
    echo "compute-sanitizer is not there"
    steps+=('{"name": "sanitizers", "status": "absent"}')
    [ "$what" = sanitizer ] && failed=1
    return
  fi
  for tool in memcheck racecheck initcheck synccheck; do
    step "$tool" "$sanitizer_seconds" "$tool.log" "$sanitizer" --tool "$tool" --error-exitcode 86 --print-limit 20 \
      "$here/node" --test-reporter=tap "$here/dist/test/cuda_conformance.test.js"
  done
}

run_bench() {
  # It begins no case that it could not end, and has written what it measured before.
  step bench "$bench_seconds" bench.log "$here/node" "$here/dist/bench/gpu/run.js" --results "$out" \
    --seconds $((bench_seconds * 4 / 5)) "${bench_options[@]}"
  grep -A 1000 '^goals' "$out/bench.log"
}

unpack_node || {
  echo "node could not be unpacked" >&2
  exit 1
}
inspection=$("$here/node" "$here/dist/lib/cli/main.js" inspect 2>&1)
echo "$inspection"
if ! grep -qE '^ +cuda +yes' <<< "$inspection"; then
  echo "there is no GPU that prefgrad can use: nothing was checked" >&2
  exit 1
fi
case $what in
  conformance) run_tests ;;
  sanitizer) run_sanitizers ;;
  bench) run_bench ;;
  all)
    run_tests
    run_sanitizers
    run_bench
    ;;
esac

gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2> /dev/null | head -n 1)
{
  echo "{"
  echo "  \"date\": \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\","
  echo "  \"commit\": \"$PREFGRAD_COMMIT\","
  echo "  \"gpu\": \"$gpu\","
  echo "  \"passed\": $([ $failed -eq 0 ] && echo true || echo false),"
  echo "  \"steps\": ["
  for i in "${!steps[@]}"; do
    echo "    ${steps[$i]}$([ "$i" -lt $((${#steps[@]} - 1)) ] && echo ,)"
  done
  echo "  ]"
  echo "}"
} > "$out/summary.json"
cat "$out/summary.json"
exit $failed
