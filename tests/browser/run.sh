#!/usr/bin/env bash
# run.sh bundle | studio PROGRAM BUNDLE [SCREENSHOT] | study PROGRAM
# Exit code 77: skipped, and why.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
skip() { echo "skipped: $*"; exit 77; }

command -v node >/dev/null || skip "there is no node (Debian: nodejs)"
[[ -d $root/web/node_modules/esbuild ]] || skip "web/node_modules is not there; ./run web makes it"

case "$1" in
  bundle)
    cd "$root/web"
    exec node test-bundle.mjs
    ;;
  studio)
    [[ -x /usr/bin/chromium ]] || skip "there is no /usr/bin/chromium (Debian: chromium)"
    [[ -d $root/web/node_modules/playwright-core ]] || skip "web/node_modules/playwright-core is not there; ./run web makes it"
    work=$(mktemp -d)
    server=0
    end() {
      if ((server)); then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
      rm -rf "$work"
    }
    trap end EXIT
    "$2" serve --bundle "$3" --port 0 --stop-seconds 1 >"$work/out" 2>"$work/err" &
    server=$!
    for ((i = 0; i < 1200; i++)); do
      [[ -s $work/out ]] && break
      kill -0 "$server" 2>/dev/null || { cat "$work/err"; exit 1; }
      sleep 0.1
    done
    node "$root/tests/browser/studio.mjs" "$(cat "$work/out")/" "$work/downloads" "${4:-}"
    # Stopped, it ends cleanly.
    kill -TERM "$server"
    code=0
    wait "$server" || code=$?
    server=0
    ((code == 0)) || { echo "the server ended with $code"; cat "$work/err"; exit 1; }
    ;;
  study)
    # A whole reader study. DERM_SCREENSHOTS=FOLDER: the pictures of the documents.
    exec node "$root/tests/browser/study.mjs" "$2"
    ;;
  *) echo "run.sh: bundle, studio or study"; exit 2 ;;
esac
