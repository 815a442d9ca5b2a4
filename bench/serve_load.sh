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

# Seconds by the clock and of the processor, all threads together.
batch() {
  TIMEFORMAT='%R %U %S'
  { time "$program" generate --bundle "$bundle" --count "$1" --out "$work/set-$1" ${THREADS:+--threads $THREADS} >/dev/null 2>&1; } 2>&1
}
# The difference of two runs leaves out the start. Measured before the server and again after it: a machine with other
# work has no one speed. The seconds of the processor depend on that work far less.
measure_batch() {
  local small large
  small=$(batch 20)
  large=$(batch 220)
  rm -rf "$work"/set-*
  awk -v s="$small" -v l="$large" 'BEGIN {
    split(s, a, " "); split(l, b, " ")
    printf "batch generate: %.2f images/s, %.3f s of the processor an image\n", 200 / (b[1] - a[1]), (b[2] + b[3] - a[2] - a[3]) / 200
  }'
}
measure_batch

"$program" serve --bundle "$bundle" --port 0 --stop-seconds 5 ${THREADS:+--threads $THREADS} >"$work/out" 2>"$work/err" &
server=$!
while [[ ! -s $work/out ]]; do sleep 0.1; done
url=$(cat "$work/out")
processor_seconds() { awk -v hz="$(getconf CLK_TCK)" '{print ($14 + $15) / hz}' "/proc/$server/stat"; }
before=$(processor_seconds)
"$load" "${url##*:}" "$clients" "$seconds" | tee "$work/load.json"
images=$(awk -F'[:,]' '/"images"/ {print $2 + 0}' "$work/load.json")
awk -v a="$before" -v b="$(processor_seconds)" -v n="$images" 'BEGIN {printf "serve: %.3f s of the processor an image\n", (b - a) / n}'
kill "$server"
wait "$server" || true
server=0
measure_batch
