#!/bin/sh
# cloudvault session: who may write to an export on this server. Installed by `cloudvault provision`; do not edit.
#
#   session take ID HOLDER NONCE LOGIN [--take-over]   serve the disk under NONCE, for HOLDER alone
#   session take ID HOLDER NONCE LOGIN --again         the same, but only if nobody else has served it since HOLDER did
#   session fence ID NONCE                             end every connection of the session NONCE, then serve it again
#   session release ID NONCE                           stop serving, forget the session
#   session show ID                                    who holds it
#   session guard ID | opened ID                       called by the unit itself, before and after the server starts
#   session shield ID | linked ID                      the same for the unit of its link, where the link has one (tls)
#
# Everything a session is lives in /run, so a reboot ends it and a rebooted server serves nothing. Who had the last
# one is remembered beyond that: a client whose mount is older than somebody else's session must not write again.
# Answers are lines "key value" on stdout.
# Exit: 0 ok, 2 bad call, 3 not provisioned, 4 cannot, 5 the firewall does not protect the port, 6 held by another, 7 no session is known here (a reboot).
set -u
umask 077
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

unprotected=
die() { code=$1; shift; printf '%s\n' "$*" >&2; exit "$code"; }

# matches TEXT EXTENDED-REGEX: the whole of TEXT, which must be one line
matches() {
  case $1 in *"
"*) return 1 ;; esac
  printf '%s\n' "$1" | grep -Eqx -e "$2"
}

# value FILE KEY: the rest of the line "KEY …"; nothing is ever executed from these files
value() { sed -n "s/^$2 //p" "$1" 2>/dev/null | head -n 1; }

verb=${1-} id=${2-}
matches "$id" 'cv-[a-z][a-z0-9-]{0,23}-[a-z][a-z0-9]{0,15}' || die 2 "session: bad id"
etc=/etc/cloudvault/$id run=/run/cloudvault/$id unit=$id.service
[ -f "$etc/export" ] || die 3 "session: $id is not provisioned here"
server=$(value "$etc/export" server) disk=$(value "$etc/export" disk)
listen=$(value "$etc/export" listen) address=$(value "$etc/export" address) firewall=$(value "$etc/export" firewall)
# What stands before the export, in a unit of its own, when that is more than a socket or a port: "tls PORT psk".
carrier=$(value "$etc/export" carrier) link=$id-link.service
carrier_kind=${carrier%% *} carrier_port=${carrier#* }
carrier_port=${carrier_port%% *} carrier_auth=${carrier##* }
# What serves into a tunnel is in a network namespace of its own.
inside=
[ "$carrier_kind" != wireguard ] || inside="nsenter --net=/run/netns/$id"
socket=$run/export.sock lease=$run/lease last=$etc/last

# A listening TCP port in the unit's view, IPv4 or IPv6 (0A is LISTEN): needs no tool beyond awk.
port_open() {
  hex=$(printf '%04X' "$1")
  $inside awk -v port="$hex" '$4 == "0A" { n = split($2, a, ":"); if (a[n] == port) found = 1 } END { exit !found }' \
    /proc/net/tcp /proc/net/tcp6 2>/dev/null
}
listening() {
  if [ "$listen" = unix ]; then [ -S "$socket" ]; else port_open "$listen"; fi
}
active() { [ "$(systemctl is-active "$1" 2>/dev/null)" = active ]; }
serving() { active "$unit" && listening && { [ -z "$carrier" ] || active "$link"; }; }

processes() { cat "/sys/fs/cgroup/system.slice/$unit/cgroup.procs" "/sys/fs/cgroup/systemd/system.slice/$unit/cgroup.procs" 2>/dev/null; }

# Ends the server and waits until its last process is gone: only then can no old write land any more.
stop_unit() {
  timeout 60 systemctl stop "$unit" 2>/dev/null
  systemctl reset-failed "$unit" 2>/dev/null
  tries=0
  while [ -n "$(processes)" ]; do
    tries=$((tries + 1))
    [ $tries -le 100 ] || die 4 "session: processes of $unit do not end; an old write may still be under way"
    sleep 0.1
  done
  [ -n "$carrier" ] && [ "${1-}" != --export ] || return 0
  timeout 60 systemctl stop "$link" 2>/dev/null
  [ -z "$inside" ] || [ ! -e "/run/netns/$id" ] || ip netns del "$id"
}

# The nonce is the only name the server answers to.
write_config() {
  case $server in
  nbd-server)
    {
      echo '[generic]'
      if [ "$listen" = unix ]; then echo "unixsock = $socket"; else echo "port = $listen"; [ -z "$address" ] || echo "listenaddr = $address"; fi
      printf '[%s]\nexportname = %s\nflush = true\nfua = true\ntrim = true\n' "$nonce" "$disk"
    } >"$run/config"
    ;;
  nbdkit) echo "NONCE=$nonce" >"$run/config" ;;
  *) die 3 "session: $etc/export names no known server" ;;
  esac
  [ "$carrier_kind" != tls ] || write_tls >"$run/link.conf"
  chgrp cloudvault "$run"/*conf* && chmod 0640 "$run"/*conf*
}

# stunnel before the export's socket. The keys are handed to it by its unit, readable for nobody else.
write_tls() {
  keys=/run/credentials/$link accept=$carrier_port
  [ ! -e /proc/net/if_inet6 ] || accept=:::$carrier_port
  printf '%s\n' 'foreground = yes' 'pid =' 'syslog = no' 'debug = err' '[export]' "accept = $accept" \
    "connect = $socket" 'sslVersionMin = TLSv1.3' 'sessionResume = no' 'TIMEOUTclose = 0' 'TIMEOUTidle = 2147483' \
    'socket = l:TCP_NODELAY=1' 'socket = l:SO_KEEPALIVE=1' 'socket = l:TCP_KEEPIDLE=10' 'socket = l:TCP_KEEPINTVL=5' 'socket = l:TCP_KEEPCNT=3'
  case $carrier_auth in
  psk) printf '%s\n' "PSKsecrets = $keys/tls.psk" ;;
  x509) printf '%s\n' "cert = $keys/server.pem" "key = $keys/server.key" "CAfile = $keys/ca.pem" 'verifyChain = yes' "checkHost = $id.client" ;;
  *) die 3 "session: $etc/export names no known authentication" ;;
  esac
}

write_lease() {
  printf 'holder %s\nnonce %s\nsince %s\nlogin %s\n' "$holder" "$nonce" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$login" \
    >"$lease.new" && cp "$lease.new" "$last.new" && sync "$last.new" && mv -f "$last.new" "$last" &&
    mv -f "$lease.new" "$lease"
}

report() {
  echo "boot $(cat /proc/sys/kernel/random/boot_id)"
  if [ -f "$lease" ]; then
    echo 'held yes'
    sed -n -e '/^holder /p' -e '/^nonce /p' -e '/^since /p' "$lease"
    if serving; then echo 'serving yes'; else echo 'serving no'; fi
  else
    echo 'held no'
  fi
  if [ "$listen" = unix ]; then echo "socket $socket"; else echo "port $listen"; fi
}

# Another one's session, named as the reason: now, or since ours.
refuse_other() {
  report
  echo "other $(value "$1" holder)"
  echo "other-since $(value "$1" since)"
  die 6 "session: $2 $(value "$1" holder) since $(value "$1" since)"
}

start_unit() {
  # The unit asks again; here the answer has words of its own.
  (guard && shield) || unprotected=yes
  [ -z "$unprotected" ] || return 1
  if [ -n "$carrier" ]; then
    # Made here: a unit's own mounts are seen by nobody else.
    [ -z "$inside" ] || [ -e "/run/netns/$id" ] || ip netns add "$id"
    systemctl reset-failed "$link" 2>/dev/null
    timeout 60 systemctl start "$link"
  fi
  timeout 60 systemctl start "$unit"
  serving && return
  { systemctl status --no-pager --lines=12 "$unit"; [ -z "$carrier" ] || systemctl status --no-pager --lines=12 "$link"; } >&2
  stop_unit
  return 1
}

take() {
  matches "$holder" '[A-Za-z0-9._-]{1,64}/[0-9a-f]{8}:[a-z][a-z0-9-]{0,23}' || die 2 "session: bad holder"
  matches "$nonce" '[0-9a-f]{32}' || die 2 "session: bad nonce"
  matches "$login" '[A-Za-z0-9._][A-Za-z0-9._-]{0,63}' || die 2 "session: bad login"
  [ "$how" != --again ] || [ "$(value "$last" holder)" = "$holder" ] || refuse_other "$last" 'taken meanwhile by'
  if [ -f "$lease" ]; then
    [ "$(value "$lease" holder)" = "$holder" ] || [ "$how" = --take-over ] || refuse_other "$lease" 'held by'
    if [ "$(value "$lease" holder)" = "$holder" ] && [ "$(value "$lease" nonce)" = "$nonce" ] && serving; then
      report
      echo 'changed no'
      return
    fi
  fi
  stop_unit
  rm -rf "$run"
  # The server's user makes its socket here but cannot touch our files (sticky); others may only pass through.
  mkdir -m 0700 "$run" && chgrp cloudvault "$run" && chmod 1771 "$run" || die 4 "session: cannot make $run"
  write_config
  write_lease || die 4 "session: cannot write $lease"
  if ! start_unit; then
    rm -rf "$run"
    [ -z "$unprotected" ] || die 5 "session: the port would stand open"
    die 4 "session: $unit does not serve"
  fi
  report
  echo 'changed yes'
}

# A request that was given up here may still wait in an old connection, and must not land after newer ones.
fence() {
  matches "$nonce" '[0-9a-f]{32}' || die 2 "session: bad nonce"
  [ -f "$lease" ] || { report; die 7 "session: nobody holds $id; the server was rebooted, or the session was ended"; }
  [ "$(value "$lease" nonce)" = "$nonce" ] || refuse_other "$lease" 'held by'
  stop_unit --export
  start_unit || die $((${#unprotected} ? 5 : 4)) "session: $unit does not serve"
  report
}

release() {
  matches "$nonce" '[0-9a-f]{32}' || die 2 "session: bad nonce"
  [ ! -f "$lease" ] || [ "$(value "$lease" nonce)" = "$nonce" ] || refuse_other "$lease" 'held by'
  stop_unit
  rm -rf "$run"
  report
}

# Before the server starts (as root): never without its firewall rule, never on a socket that a dead server left.
guard() {
  [ -f "$lease" ] || die 1 "session: nobody holds $id"
  rm -f "$socket"
  # A port that a carrier opens is the matter of its own unit.
  [ -n "$carrier" ] || shield
}

shield() {
  # A tunnel's port answers nobody who does not know its key: rules only let through, they do not protect.
  [ "$carrier_kind" != wireguard ] || return 0
  # Beside firewalld, whose rules only let in, and where a tunnel ends behind any other, our table shuts others out.
  case $carrier_kind-$firewall in
  *-nftables | *-firewalld | ipsec-*) nft -f "$etc/firewall.nft" || die 1 "session: the firewall rule does not load" ;;
  esac
  case $firewall in
  nftables | firewalld) ;;
  none) [ "$listen$carrier" = unix ] || die 1 "session: a port without a firewall rule" ;;
  iptables) sh "$etc/firewall.sh" load || die 1 "session: the firewall rule does not load" ;;
  ufw)
    rules=$(ufw status verbose) || die 1 "session: ufw does not answer"
    printf '%s\n' "$rules" | grep -qx 'Status: active' || die 1 "session: ufw is not active"
    printf '%s\n' "$rules" | grep -Eq '^Default: (deny|reject) \(incoming\)' || die 1 "session: ufw lets unknown traffic in"
    ;;
  *) die 1 "session: unknown firewall" ;;
  esac
}

# After it started (as root): wait until it listens, then let the SSH user connect, and nobody else.
opened() {
  tries=0
  until listening; do
    tries=$((tries + 1))
    [ $tries -le 100 ] || die 1 "session: the server does not listen"
    sleep 0.1
  done
  # Behind a carrier of its own user it stays as it is.
  [ "$listen$carrier" = unix ] || return 0
  chown "$(value "$lease" login):" "$socket" && chmod 0600 "$socket"
}

# After the link's unit started: wait until it listens too.
linked() {
  tries=0
  until port_open "$carrier_port"; do
    tries=$((tries + 1))
    [ $tries -le 100 ] || die 1 "session: the link does not listen"
    sleep 0.1
  done
}

case $verb in
guard) guard; exit ;;
opened) opened; exit ;;
shield) shield; exit ;;
linked) linked; exit ;;
esac
mkdir -p /run/cloudvault && chmod 0711 /run/cloudvault || die 4 "session: cannot make /run/cloudvault"
exec 9>"/run/cloudvault/$id.lock" || die 4 "session: cannot lock"
flock -w 90 9 || die 4 "session: another session command has been running for 90 s"
case $verb in
take) holder=${3-} nonce=${4-} login=${5-} how=${6-}; take ;;
fence) nonce=${3-}; fence ;;
release) nonce=${3-}; release ;;
show) report ;;
*) die 2 "session: unknown verb" ;;
esac
