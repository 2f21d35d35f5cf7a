#!/bin/bash
# The tests of the unit, run by run.sh as root beside a systemd of its own: what it changes vanishes.
# It speaks with the daemon like an administrator: systemctl, journalctl, files.
set -euo pipefail

app=/opt/s3syncd
node=$app/node_modules/.bin/node
unit=s3syncd.service
dropins=/etc/systemd/system/$unit.d
config=/etc/s3syncd/config.yaml
documents=/srv/documents
work=$(mktemp -d)
passed=0 failed=0

# --- what a test is made of

# test NAME COMMAND...: one line, and the journal when it fails.
test_() {
  local name=$1; shift
  if "$@" >"$work/output" 2>&1; then
    passed=$((passed + 1)); echo "ok - $name"
  else
    failed=$((failed + 1)); echo "not ok - $name"
    { echo "$*"; cat "$work/output"; systemctl status "$unit" --no-pager -n 0 || true
      journalctl -u "$unit" --no-pager -n 20 -o short-precise; } 2>&1 | sed 's/^/    # /'
  fi
}
skip() { echo "ok - $1 # SKIP $2"; }

# within SECONDS COMMAND...: until it succeeds.
within() {
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ "$SECONDS" -lt "$end" ] || { echo "not in time: $*"; return 1; }; sleep 0.1; done
}
# took COMMAND...: the milliseconds in $elapsed.
took() { local from=${EPOCHREALTIME/./}; "$@"; elapsed=$(((${EPOCHREALTIME/./} - from) / 1000)); }

property() { systemctl show "$unit" -P "$1"; }
is() { [ "$(property "$1")" = "$2" ] || { echo "$1 is $(property "$1")"; return 1; }; }
status_json() { curl -sSf --unix-socket /var/lib/s3syncd/control.sock http://control/status; }
# status EXPRESSION: a JavaScript expression over the daemon's status holds.
status() { status_json | "$node" -e "const s = JSON.parse(require('fs').readFileSync(0)); process.exit(($1) ? 0 : 1)"; }
# An object's content.
object() { curl -sSf --aws-sigv4 aws:amz:us-east-1:s3 -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' -K "$work/curlrc" "$endpoint/kept/$1"; }
object_is() { [ "$(object "$1")" = "$2" ]; }
drop() { printf %s "$2" >"$work/new"; chmod 644 "$work/new"; mv "$work/new" "$documents/$1"; }
fault() { curl -sSf -X POST -H 'content-type: application/json' -d "$1" "$endpoint/_s3-server/faults"; }
fault_hit() { curl -sSf "$endpoint/_s3-server/faults" | grep -qE '"hits":[1-9]'; }
no_faults() { curl -sSf -X DELETE "$endpoint/_s3-server/faults" >/dev/null; }
# What the unit and systemd said, as JSON lines.
entries() { journalctl -u "$unit" -o json --no-pager "$@"; }
# logged EXPRESSION: an entry `e`, with its line parsed as `line` where it is JSON, for which it holds.
logged() {
  entries | "$node" -e "
    const entries = require('fs').readFileSync(0, 'utf8').split('\n').filter(Boolean).map((text) => JSON.parse(text));
    const parse = (text) => { try { return JSON.parse(text) } catch { return {} } };
    process.exit(entries.some((e) => { const line = parse(e.MESSAGE); return $1; }) ? 0 : 1);"
}

# --- what is there before

systemd-sysusers "$app/systemd/sysusers.conf"
mkdir -p /etc/s3syncd/secrets "$dropins" "$documents" /srv/locked /home/alice
chown root:s3syncd /etc/s3syncd; chmod 750 /etc/s3syncd
chmod 755 "$documents"; chmod 700 /srv/locked /home/alice /etc/s3syncd/secrets
(umask 077; printf %s key-of-the-unit >/etc/s3syncd/secrets/id; printf '%s\n' 'secret-of-the-unit' >/etc/s3syncd/secrets/key
  printf 'user = "key-of-the-unit:secret-of-the-unit"\n' >"$work/curlrc")
cat >"$dropins/test.conf" <<END
[Service]
LoadCredential=s3-id:/etc/s3syncd/secrets/id
LoadCredential=s3-key:/etc/s3syncd/secrets/key
# Shipped: 2min and 5s.
WatchdogSec=3s
RestartSec=1s
END
"$node" "$app/test/s3-server/main.ts" --data memory --bucket kept --admin \
  --access-key key-of-the-unit --secret-key secret-of-the-unit >"$work/s3.log" 2>&1 &
s3=$!
trap 'kill $s3 2>/dev/null || true; rm -rf "$work"' EXIT
within 20 grep -q listening "$work/s3.log" || { cat "$work/s3.log"; exit 1; }
endpoint=$(sed -n 's/.*listening on //p' "$work/s3.log")

# write_config FOLDERS
write_config() {
  cat >"$config" <<END
version: 1
destinations:
  kept:
    bucket: kept
    prefix: "{folder}/"
    endpoint: $endpoint
    region: us-east-1
    path-style: true
    credentials:
      access-key-id: \${cred:s3-id}
      secret-access-key: \${cred:s3-key}
folders:
$1
END
  chown root:s3syncd "$config"; chmod 640 "$config"
}
documents_folder='  documents: { path: /srv/documents, to: kept, settle: 100ms }'
locked_folder='  locked: { path: /srv/locked, to: kept }'
systemctl daemon-reload

# --- the unit itself

echo "# $(systemctl --version | head -1)"
verified() { [ -z "$(systemd-analyze verify "/etc/systemd/system/$unit" 2>&1 | tee "$work/verify")" ] || { cat "$work/verify"; return 1; }; }
test_ 'systemd finds nothing wrong with the unit' verified
test_ 'its exposure is 2.0 at most' systemd-analyze security --offline=true --threshold=20 "$app/systemd/$unit"
echo "# $(systemd-analyze security --offline=true "$app/systemd/$unit" 2>/dev/null | grep Overall)"

# --- a config that is refused

write_config '  documents: { path: /srv/documents, too: kept }'
refused() { ! systemctl start "$unit" && is ExecMainStatus 78 && is ActiveState failed; }
test_ 'a bad config fails the start with 78' refused
stays_down() { for _ in 1 2 3 4 5 6; do is ActiveState failed && is NRestarts 0 || return 1; sleep 0.5; done; }
test_ 'and is not started again' stays_down
test_ 'its place in the file is an error in the journal' logged \
  '/config\.yaml:\d+:\d+: /.test(e.MESSAGE) && e.PRIORITY === "3"'
systemctl reset-failed "$unit"

# --- a start

write_config "$documents_folder
$locked_folder"
drop before.txt 'here before the start'
start() { took systemctl start "$unit"; drop after.txt 'dropped after the start'; }
test_ 'it starts' start
echo "# start took $elapsed ms"
test_ 'READY only when watching' status 's.folders[0].state === "ok"'
test_ 'a file dropped right after the start is in S3' within 10 object_is documents/after.txt 'dropped after the start'
test_ 'a file from before is in S3, through LoadCredential and ${cred:…}' \
  within 10 object_is documents/before.txt 'here before the start'
status_told() { systemctl status "$unit" --no-pager | grep -E 'Status: "2 folders, 2 synced, 0 pending'; }
test_ 'systemctl status says how it is' within 10 status_told
echo "# $(systemctl status "$unit" --no-pager | grep -F 'Status:' | sed 's/^ *//')"
test_ 'a folder that it cannot read is an error in the log' logged \
  'line.folder === "locked" && /cannot read \/srv\/locked/.test(line.msg) && e.PRIORITY === "3"'
test_ 'and in the status' status 's.folders[1].state === "halted" && /EACCES/.test(s.folders[1].reasons[0])'
test_ 'and in the status line' bash -c "systemctl show $unit -P StatusText | grep -q '1 halted'"
systemctl --quiet is-active "$unit"

# --- the journal

fault '{"kind":"answer","operation":"PutObject","keyPattern":"denied","status":403,"code":"AccessDenied"}' >/dev/null
drop denied.txt 'the store does not take this'
test_ 'a warning is a warning' within 10 logged 'line.level === "warn" && line.path === "denied.txt" && e.PRIORITY === "4"'
no_faults
test_ 'an uploaded file is information' logged 'line.level === "info" && line.path === "after.txt" && e.PRIORITY === "6"'
every_line() { ! logged '!e._TRANSPORT || (e._TRANSPORT === "stdout" && !(line.level && line.msg) && !/config\.yaml:/.test(e.MESSAGE))'; }
test_ 'every line of the daemon is JSON without a second time' every_line
test_ 'journalctl knows it by name' logged 'e.SYSLOG_IDENTIFIER === "s3syncd" && line.msg === "watching for changes"'
no_secret() { ! { entries; tr '\0' '\n' <"/proc/$(property MainPID)/environ"; } | grep secret-of-the-unit; }
test_ 'no secret is in the journal or the environment' no_secret

# --- what it keeps

private() { find /var/lib/s3syncd -perm /o=rwx ! -type l | grep . && return 1; [ "$(stat -c %a:%U /var/lib/s3syncd/)" = 700:s3syncd ]; }
test_ 'its state is 0700 and nothing in it is for others' private
confined() { # in its own view of the file system, as its user
  ! nsenter -t "$(property MainPID)" -m setpriv --reuid s3syncd --regid s3syncd --clear-groups touch "$documents/x" 2>/dev/null &&
    ! nsenter -t "$(property MainPID)" -m touch "$documents/x" 2>/dev/null &&
    grep -qE '^CapEff:\s+0+$' "/proc/$(property MainPID)/status"
}
test_ 'it cannot write to what it watches, not even as root' confined

# --- hangs and crashes

restarted() { [ "$(property MainPID)" != "$1" ] && [ "$(property MainPID)" != 0 ] && is ActiveState active; }
hang() { local pid; pid=$(property MainPID); kill -STOP "$pid"; took within 30 restarted "$pid" && is NRestarts 1; }
test_ 'a daemon that hangs is restarted by the watchdog' hang
echo "# hung, and back after $elapsed ms (watchdog 3 s, restart after 1 s)"
drop hung.txt 'after the hang'
test_ 'and goes on syncing' within 10 object_is documents/hung.txt 'after the hang'
crash() { local pid; pid=$(property MainPID); kill -KILL "$pid"; took within 30 restarted "$pid" && is NRestarts 2; }
test_ 'a daemon that dies is restarted' crash
echo "# killed, and back after $elapsed ms (restart after 1 s)"
drop killed.txt 'after the crash'
test_ 'and goes on syncing' within 10 object_is documents/killed.txt 'after the crash'
alive() { for _ in $(seq 16); do is NRestarts 2 && is ActiveState active || return 1; sleep 0.5; done; }
test_ 'one that is well is left alone by the watchdog' alive

# --- a stop

stopped() { took systemctl stop "$unit" && [ "$elapsed" -le "$1" ] && is ActiveState inactive && is Result success; }
test_ 'it stops' stopped 5000
echo "# stop took $elapsed ms"
systemctl start "$unit"
fault '{"kind":"stall","operation":"UploadPart"}' >/dev/null
head -c 64M /dev/zero >"$documents/large.bin"; chmod 644 "$documents/large.bin"
test_ '(a large upload hangs in the store)' within 20 fault_hit
test_ 'it stops within 10 s while a part of a large file hangs' stopped 10000
echo "# stop took $elapsed ms"
systemctl start "$unit"
no_faults
fault '{"kind":"stall","operation":"PutObject"}' >/dev/null
drop small.txt 'a single request'
test_ '(a small upload hangs in the store)' within 20 fault_hit
test_ 'it stops within 10 s while a small file hangs' stopped 10000
echo "# stop took $elapsed ms"
no_faults
drop stopped.txt 'while it was stopped'
systemctl start "$unit"
test_ 'what was dropped meanwhile is in S3 after the next start' within 10 object_is documents/stopped.txt 'while it was stopped'
large() { object documents/large.bin | cmp -s - "$documents/large.bin"; }
test_ 'and the large file' within 30 large
drop denied.txt 'now it does'
test_ 'and the small file' within 10 object_is documents/small.txt 'a single request'
test_ 'and the file that was denied' within 10 object_is documents/denied.txt 'now it does'

# --- drop-ins

cp "$app/systemd/examples/read-all.conf" "$dropins/"
write_config "$documents_folder
  alice: { path: /home/alice, to: kept, settle: 100ms }"
(umask 077; echo 'of alice alone' >/home/alice/diary)
# The example keeps /home; here there is /srv too.
printf '[Service]\nBindReadOnlyPaths=/srv\n' >"$dropins/read-srv.conf"
systemctl daemon-reload
test_ 'with read-all.conf' systemctl restart "$unit"
test_ "it reads a user's private files" within 10 object_is alice/diary 'of alice alone'
blind() { nsenter -t "$(property MainPID)" -m bash -c '! ls -A /root /var/log | grep -v : | grep . && ! grep : /etc/shadow'; }
test_ 'and neither /root nor /etc/shadow' blind
rm "$dropins/read-all.conf" "$dropins/read-srv.conf"
systemctl daemon-reload

if [ "$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')" -ge 253 ]; then
  cp "$app/systemd/examples/notify-descriptor.conf" "$dropins/"
  write_config "$documents_folder"
  systemctl daemon-reload
  test_ 'with notify-descriptor.conf it starts' systemctl restart "$unit"
  one_process() { [ "$(wc -l <"/sys/fs/cgroup$(property ControlGroup)/cgroup.procs")" = 1 ]; }
  survives() { local pid; pid=$(property MainPID); for _ in $(seq 16); do one_process && is MainPID "$pid" || return 1; sleep 0.5; done; }
  test_ 'and stays, without child processes' survives
else
  skip 'notify-descriptor.conf' 'needs systemd 253'
fi

systemctl stop "$unit"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
