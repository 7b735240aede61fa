# One end of a WireGuard tunnel, the same on a client and on a server. Above this line stand its facts:
#   device private public shared listen endpoint own peer namespace folder ready
# `prepare` takes away what a dead one left, `run` is the engine in the foreground, `up` gives it keys and addresses,
# `down` takes all of it away; `stay` is all of that together. It ends in the namespace, where one is named.
# Exit: 0 ok, 3 neither the kernel nor wireguard-go can do it, 4 it does not come up.
set -u
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1 LOG_LEVEL=error

die() { code=$1; shift; printf '%s\n' "wireguard: $*" >&2; exit "$code"; }

# The kernel's own where it has one; it needs no process. Else the same in user space.
run() {
  if ip link add "$device" type wireguard 2>/dev/null; then
    while :; do sleep 3600; done
  fi
  command -v wireguard-go >/dev/null || die 3 'the kernel has no WireGuard, and there is no wireguard-go'
  [ -w /dev/net/tun ] || die 3 '/dev/net/tun cannot be opened (udev gives it mode 0666)'
  exec wireguard-go -f "$device"
}

# Keys are set before it moves: the engine's own sockets stay where it was made, outside.
up() {
  tries=0
  until wg show "$device" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -le 200 ] || die 4 "$device does not come up"
    sleep 0.05
  done
  wg set "$device" private-key "$private" ${listen:+listen-port "$listen"} \
    peer "$(cat "$public")" preshared-key "$shared" allowed-ips "$peer/128" \
    ${endpoint:+endpoint "$endpoint" persistent-keepalive 25} || die 4 "$device does not take its keys"
  if [ -n "$namespace" ]; then
    ip link set "$device" netns "$namespace" || die 4 "no namespace $namespace"
  fi
  ${namespace:+nsenter "--net=/run/netns/$namespace"} sysctl -qw "net.ipv6.conf.$device.disable_ipv6=0" 2>/dev/null
  ip ${namespace:+-n "$namespace"} addr add "$own/64" dev "$device" nodad &&
    ip ${namespace:+-n "$namespace"} link set "$device" mtu 1420 up || die 4 "$device has no address (is IPv6 off?)"
  : >"$ready"
}

down() {
  rm -f "$ready" "$ready.fifo"
  [ -z "$namespace" ] || ip -n "$namespace" link del "$device" 2>/dev/null
  ip link del "$device" 2>/dev/null
  return 0
}

# wireguard-go goes on sending from the address it began with until it asks for a new key, after 15 s. Told its endpoint
# again, it looks for another address at once. The kernel's needs nobody to tell it.
roam() {
  [ -n "$endpoint" ] || return 0
  ! ip -d link show "$device" | grep -qw wireguard || return 0
  rm -f "$ready.fifo"
  mkfifo "$ready.fifo" || return 0
  ip monitor address >"$ready.fifo" &
  monitor=$!
  while read -r _; do wg set "$device" peer "$(cat "$public")" endpoint "$endpoint" 2>/dev/null; done <"$ready.fifo" &
}

prepare() {
  modprobe -q wireguard 2>/dev/null || modprobe -q tun 2>/dev/null
  down
  [ -z "$folder" ] || { rm -rf "$folder" && mkdir "$folder" && chown cloudvault: "$folder"; } || die 4 "cannot make $folder"
}

stay() {
  engine='' monitor=''
  trap 'trap "" TERM; down; for pid in $monitor $engine; do kill "$pid" 2>/dev/null; done; exit 0' TERM INT
  prepare
  (run) &
  engine=$!
  (up) || { down; kill "$engine" 2>/dev/null; exit 4; }
  roam
  wait "$engine"
  [ -z "$monitor" ] || kill "$monitor" 2>/dev/null
  down
  exit 4
}

"$1"
