#!/usr/bin/env bash
# run.sh bundle | studio PROGRAM BUNDLE [SCREENSHOT] | directions PROGRAM | study PROGRAM
# DERM_DOWNLOADS=FOLDER keeps what the browser saved.
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
  studio | directions)
    [[ -x /usr/bin/chromium ]] || skip "there is no /usr/bin/chromium (Debian: chromium)"
    [[ -d $root/web/node_modules/playwright-core ]] || skip "web/node_modules/playwright-core is not there; ./run web makes it"
    work=$(mktemp -d)
    server=0
    end() {
      if ((server)); then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
      rm -rf "$work"
    }
    trap end EXIT
    if [[ $1 == directions ]]; then
      # A small model from noise, hardly trained, and its directions.
      { "$2" phantom --count 100 --size 64 --out "$work/D" &&
        "$2" train --recipe melano-dcgan --data "$work/D" --out "$work/runs" --kimg 0.2 --set model.width=8 \
          --set model.discriminator_width=8 &&
        "$2" explore directions --bundle "$work"/runs/0* --count 3 --seeds 3 --out "$work/found" --into-bundle
      } >"$work/made" 2>&1 || { cat "$work/made"; exit 1; }
      bundle=$(echo "$work"/runs/0*) script=directions.mjs
    else
      bundle=$3 script=studio.mjs
    fi
    "$2" serve --bundle "$bundle" --port 0 --stop-seconds 1 >"$work/out" 2>"$work/err" &
    server=$!
    for ((i = 0; i < 1200; i++)); do
      [[ -s $work/out ]] && break
      kill -0 "$server" 2>/dev/null || { cat "$work/err"; exit 1; }
      sleep 0.1
    done
    node "$root/tests/browser/$script" "$(cat "$work/out")/" "${DERM_DOWNLOADS:-$work/downloads}" "${4:-}"
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
  *) echo "run.sh: bundle, studio, directions or study"; exit 2 ;;
esac
