#!/usr/bin/env bash
# serve_load.sh [BUNDLE] [CLIENTS] [SECONDS]: throughput of `dermgan serve` under load against batch `dermgan generate`.
# BUILD is the build folder (build); its programs dermgan and serve_load are used (ninja -C build dermgan serve_load).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${BUILD:-build}
program=${DERMGAN:-$build/bin/dermgan}
load=${SERVE_LOAD:-$build/bench/serve_load}
bundle=${1:-models/dermgan-clinical-256}
clients=${2:-200}
seconds=${3:-60}
work=$(mktemp -d)
server=0
trap '((server)) && kill "$server" 2>/dev/null; rm -rf "$work"' EXIT

batch() {
  local begin end
  begin=$(date +%s.%N)
  "$program" generate --bundle "$bundle" --count "$1" --out "$work/set-$1" ${THREADS:+--threads $THREADS} >/dev/null 2>&1
  end=$(date +%s.%N)
  awk -v a="$begin" -v b="$end" 'BEGIN {print b - a}'
}
# The difference of two runs leaves out the start. Measured before the server and again after it: a machine with other
# work has no one speed.
measure_batch() {
  local small large
  small=$(batch 20)
  large=$(batch 220)
  rm -rf "$work"/set-*
  awk -v s="$small" -v l="$large" 'BEGIN {printf "batch generate: %.2f images/s\n", 200 / (l - s)}'
}
measure_batch

"$program" serve --bundle "$bundle" --port 0 --stop-seconds 5 ${THREADS:+--threads $THREADS} >"$work/out" 2>"$work/err" &
server=$!
while [[ ! -s $work/out ]]; do sleep 0.1; done
url=$(cat "$work/out")
"$load" "${url##*:}" "$clients" "$seconds"
kill "$server"
wait "$server" || true
server=0
measure_batch
