#!/bin/sh
# Real work on a vault, and proof that it came through. Runs in the lab's client.
#
#   work prepare   what is cloned and copied, outside the vault
#   work writer|sqlite|heavy   over and over, until /tmp/enough is there
#   work sums      notes the sum of every file of the vault
#   work check     what must hold of the files, whichever member the vault is mounted from
#
# A worker that meets an error says so and ends with 1; each round of something adds its name to /tmp/ops.
set -u
vault=/vault/photos
verb=$1
die() { echo "$verb: $*" >&2; exit 1; }
did() { echo "$1" >>/tmp/ops; }
going() { [ ! -e /tmp/enough ]; }
quiet() { "$@" >"/tmp/said-$verb" 2>&1 || { tail -n 3 "/tmp/said-$verb" >&2; die "$* failed"; }; }

clone() {
  quiet git clone -q --no-local /root/origin "$vault/git/$1"
  quiet git -C "$vault/git/$1" gc -q
  quiet git -C "$vault/git/$1" fsck --full --no-progress
  [ "$1" -le 2 ] || rm -rf "$vault/git/$(($1 - 2))"
  did git
}
mirror() {
  date +%N >"/root/tree/changed-$(($1 % 5))"
  quiet rsync -a --checksum --delete /root/tree/ "$vault/tree/"
  did rsync
}
verify() {
  quiet fio --name=soak --filename="$vault/fio/data" --rw=randrw --bsrange=4k-64k --size=6m --fsync=32 \
    --ioengine=psync --verify=sha256 --verify_fatal=1 --do_verify=1 --randseed="$1"
  did fio
}
churn() {
  quiet stress-ng --temp-path "$vault/stress" --verify --timeout 3s --hdd 1 --hdd-bytes 2m --dir 1 --rename 1
  did stress-ng
}

case $verb in
prepare)
  rm -rf /tmp/enough /tmp/ops /root/origin /root/tree /root/counter /root/written.sums /root/all.sums /tmp/worst
  mkdir -p /root/origin /root/tree
  cp -r /etc /root/tree/etc 2>/dev/null
  cp -r /usr/share/zoneinfo/Europe /root/tree/ 2>/dev/null
  cd /root/origin && git init -q -b main . && git config user.name soak && git config user.email soak@lab
  cp -r /root/tree/etc . && git add -A && git commit -q -m one
  for n in 2 3 4; do date +%N >"file-$n" && git add -A && git commit -q -m "$n"; done
  mkdir -p "$vault/written" "$vault/git" "$vault/fio" "$vault/stress" "$vault/tree"
  sqlite3 "$vault/ledger.db" 'CREATE TABLE entry (id INTEGER PRIMARY KEY, what TEXT)'
  ;;
# Every file is fsynced, its sum noted outside the vault, and the longest wait is the longest stall.
writer)
  i=0 worst=0
  while going; do
    i=$((i + 1)) a=$(date +%s%N)
    dd if=/dev/urandom "of=$vault/written/f-$i" bs=8k count=1 conv=fsync status=none || die "write $i failed"
    b=$((($(date +%s%N) - a) / 1000000))
    [ $b -gt $worst ] && worst=$b && echo $worst >/tmp/worst
    sha256sum "$vault/written/f-$i" >>/root/written.sums
    did write
  done
  ;;
# A transaction that was committed is counted outside; a crash may lose none that was.
sqlite)
  i=0
  while going; do
    i=$((i + 1))
    quiet sqlite3 "$vault/ledger.db" "PRAGMA synchronous=FULL; BEGIN; INSERT INTO entry (what) VALUES ('$(date +%s%N)'); INSERT INTO entry (what) VALUES ('second half of $i'); COMMIT;"
    echo $((i * 2)) >/root/counter.new && sync /root/counter.new && mv /root/counter.new /root/counter
    did sqlite
  done
  ;;
# What takes long goes in turns, so that the ones above get on.
heavy)
  i=0
  while [ $i -eq 0 ] || going; do
    i=$((i + 1))
    # The first round is whole, however short the soak is.
    for turn in clone mirror verify churn; do
      if [ $i -eq 1 ] || going; then $turn $i; fi
    done
  done
  ;;
sums)
  find "$vault" -type f -print0 | xargs -0 sha256sum >/root/all.sums
  wc -l </root/all.sums
  ;;
check)
  echo 3 >/proc/sys/vm/drop_caches
  sqlite3 -readonly "$vault/ledger.db" 'PRAGMA integrity_check' 2>&1 | grep -qx ok || die 'sqlite: integrity_check'
  kept=$(sqlite3 -readonly "$vault/ledger.db" 'SELECT count(*) FROM entry')
  [ "$kept" -ge "$(cat /root/counter)" ] || die "sqlite: $kept entries, $(cat /root/counter) were committed"
  for clone in "$vault"/git/*; do quiet git -C "$clone" fsck --full --no-progress; done
  # Once the sums of all files are noted, they say it all.
  if [ -e /root/all.sums ]; then
    sha256sum -c --quiet /root/all.sums >&2 || die 'a file is not what it was'
    exit 0
  fi
  rsync -a --checksum --delete --dry-run --itemize-changes /root/tree/ "$vault/tree/" | grep . >&2 && die 'rsync: the tree differs'
  sha256sum -c --quiet /root/written.sums >&2 || die 'a written file is not what it was'
  ;;
*) die 'no such work' ;;
esac
exit 0
