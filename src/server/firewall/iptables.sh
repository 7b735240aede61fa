# One port of a server in iptables, both families: a chain of our own that lets clients in and nobody else, and the
# first rule of INPUT, which leads there. Above this line stand its facts: chain name protocol port four six anybody
# and, where a tunnel ends behind it, its far end `inside` and the port of the `export` there.
# `load` makes it anew, as one change; `check` looks whether it is so; `remove` takes it away.
# Exit: 0 ok, 1 it is not so (check), 4 cannot.
set -u
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

die() { code=$1; shift; printf '%s\n' "iptables: $*" >&2; exit "$code"; }

tools() { echo iptables; [ ! -e /proc/net/if_inet6 ] || echo ip6tables; }

# clients TOOL: those of its family
clients() { [ "$1" = iptables ] && echo "$four" || echo "$six"; }

# jumps TOOL: the rules of INPUT that lead to our chain, wherever they stand and whatever port they are about
jumps() {
  list=$("$1" -w 10 -S INPUT) || die 4 "$1 does not show its rules"
  printf '%s\n' "$list" | grep -e "-j $chain\$"
}

# change TOOL LINES: one transaction that leaves other rules alone. Our chain is empty then, and nothing leads to it.
change() {
  old=$(jumps "$1") || [ $? -eq 1 ] || exit 4
  {
    printf '*filter\n:%s - [0:0]\n' "$chain"
    [ -z "$old" ] || printf '%s\n' "$old" | sed 's/^-A /-D /'
    printf '%s\nCOMMIT\n' "$2"
  } | timeout 30 "$1-restore" -w 10 --noflush || die 4 "$1 does not take the change"
}

others() { [ "$anybody" = yes ] && echo ACCEPT || echo DROP; }

# tunnelled TOOL: the rest of a rule about what came out of the tunnel
tunnelled() { [ "$1" = iptables ] || [ -z "$inside" ] || echo "-s $inside -p tcp --dport $export -m comment --comment $name -j $chain"; }

load() {
  for tool in $(tools); do
    inner=$(tunnelled "$tool")
    lines="${inner:+-I INPUT 1 $inner
}-I INPUT 1 -p $protocol --dport $port -m comment --comment $name -j $chain"
    for client in $(clients "$tool"); do lines="$lines
-A $chain -s $client -j ACCEPT"; done
    change "$tool" "$lines
-A $chain -j $(others)"
  done
}

check() {
  for tool in $(tools); do
    first=$("$tool" -w 10 -S INPUT 1) || die 4 "$tool does not show its rules"
    case $first in
    "-A INPUT -p $protocol "*" --dport $port "*"-j $chain") ;;
    *) exit 1 ;;
    esac
    inner=$(tunnelled "$tool")
    # shellcheck disable=SC2086
    [ -z "$inner" ] || "$tool" -w 10 -C INPUT $inner 2>/dev/null || exit 1
    count=1
    for client in $(clients "$tool"); do
      count=$((count + 1))
      "$tool" -w 10 -C "$chain" -s "$client" -j ACCEPT 2>/dev/null || exit 1
    done
    rules=$("$tool" -w 10 -S "$chain" | grep -e '^-A ')
    [ "$(printf '%s\n' "$rules" | wc -l)" -eq "$count" ] || exit 1
    [ "$(printf '%s\n' "$rules" | tail -n 1)" = "-A $chain -j $(others)" ] || exit 1
  done
}

remove() {
  for tool in $(tools); do
    ! command -v "$tool" >/dev/null || change "$tool" "-X $chain"
  done
}

"$1"
