#!/bin/bash
# Tests the unit under a real systemd. The program is taken as it was built (`npm run build`).
#
# Needs root and a tool that boots a systemd and runs a command in it, named by $S3SYNCD_SYSTEMD_SANDBOX:
#   TOOL [--root DIR] --ro-bind FROM:TO --unit FILE -- COMMAND
# $S3SYNCD_SYSTEMD_ROOT: boot the distribution in this directory instead of the host's.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${S3SYNCD_SYSTEMD_SANDBOX:-}" ] || [ "$(id -u)" != 0 ]; then
  echo 'skipped: needs root and $S3SYNCD_SYSTEMD_SANDBOX'
  echo '0 passed, 0 failed, 1 skipped'
  exit 0
fi
[ -f dist/main.js ] || { echo 'there is no dist/main.js: npm run build' >&2; exit 1; }
[ -x node_modules/.bin/node ] || { echo 'there is no node_modules/.bin/node: npm ci' >&2; exit 1; }

root=()
[ -z "${S3SYNCD_SYSTEMD_ROOT:-}" ] || root=(--root "$S3SYNCD_SYSTEMD_ROOT")
exec "$S3SYNCD_SYSTEMD_SANDBOX" "${root[@]}" \
  --ro-bind "$PWD:/opt/s3syncd" --unit systemd/s3syncd.service -- bash /opt/s3syncd/test/systemd/inside.sh
