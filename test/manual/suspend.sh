#!/bin/sh
# The drill that cannot be built in the lab: a real laptop sleeps in the middle of a copy (docs/drills.md, number 37).
#
#   sudo test/manual/suspend.sh NAME [SECONDS]      NAME: a vault that is up; default 600 s; needs rtcwake (util-linux)
#
# Writes files with fsync into the vault, suspends to RAM with the clock set to wake, goes on writing for a minute, waits
# until the vault is healthy, and compares every file. It removes what it wrote. Exit 0: survived.
set -eu
vault=${1:?usage: suspend.sh NAME [SECONDS]} seconds=${2:-600}
at=$(cloudvault status "$vault" --json | sed -n 's/.*"mountedAt":"\([^"]*\)".*/\1/p')
[ -n "$at" ] || { echo "$vault is not up"; exit 2; }
work=$at/suspend-drill sums=$(mktemp)
mkdir "$work"
trap 'kill "$writer" 2>/dev/null || true; rm -rf "$work" "$sums"' EXIT

i=0
while :; do
  i=$((i + 1))
  dd if=/dev/urandom of="$work/f-$i" bs=64k count=4 conv=fsync status=none || { echo "write $i failed"; exit 1; }
  sha256sum "$work/f-$i" >>"$sums"
  sleep 0.2
done &
writer=$!

sleep 10
before=$(wc -l <"$sums")
echo "sleeping for $seconds s after $before files"
rtcwake --mode mem --seconds "$seconds"
echo "awake; writing for another minute"
sleep 60
kill -0 "$writer" || { echo "the writer died: a write failed"; exit 1; }
kill "$writer"
wait "$writer" 2>/dev/null || true
tries=0
until cloudvault status "$vault" --check >/dev/null; do
  tries=$((tries + 1))
  [ $tries -le 120 ] || { cloudvault status "$vault"; echo "not healthy after 10 minutes"; exit 1; }
  sleep 5
done
echo 3 >/proc/sys/vm/drop_caches
head -n -1 "$sums" | sha256sum -c --quiet
after=$(wc -l <"$sums")
[ "$after" -gt "$before" ] || { echo "nothing was written after waking"; exit 1; }
journalctl -b --no-pager -o cat -u "cv-$vault-monitor" --since "-20min" | tail -n 15
echo "survived: $after files right, $((after - before)) of them written after waking, the vault is healthy"
