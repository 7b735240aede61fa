# One end of an IPsec tunnel made by a strongSwan of its own, the same on a client and on a server. Above this line
# stand its facts: device folder secret side id listen idle endpoint remote own peer ready
# `prepare` writes its configuration, `run` is the engine in the foreground, `up` gives it keys and addresses, `down`
# takes all of it away; `stay` is all of that together.
# Exit: 0 ok, 3 it cannot be done here, 4 it does not come up.
set -u
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STRONGSWAN_CONF=$folder/strongswan.conf
export PATH STRONGSWAN_CONF

die() { code=$1; shift; printf '%s\n' "ipsec: $*" >&2; exit "$code"; }

# Whether the kernel encrypts: it takes a state of the kind that will be asked for.
kernel_esp() {
  state="src $own dst $peer proto esp spi 0x100"
  # shellcheck disable=SC2086
  ip xfrm state add $state mode tunnel aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128 2>/dev/null &&
    ip xfrm state del $state
}

# Its ports are not those of a strongSwan that may be here already, and it leaves that one's tunnels alone.
prepare() {
  down
  for module in xfrm_user esp4 esp6 ctr gcm seqiv dummy tun; do modprobe -q "$module" 2>/dev/null; done
  mkdir -p -m 0700 "$folder" || die 4 "cannot make $folder"
  engine='kernel-libipsec kernel-netlink' routes=yes
  ! kernel_esp || engine=kernel-netlink routes=no
  cat >"$folder/strongswan.conf" <<CONFIG
charon-systemd {
  port = ${idle:-0}
  port_nat_t = ${listen:-0}
  install_routes = $routes
  load = random nonce openssl pem pkcs1 kdf socket-default $engine vici
  retransmit_base = 1
  retransmit_tries = 3
  retransmit_timeout = 1.5
  plugins {
    vici {
      socket = unix://$folder/vici
    }
  }
  journal {
    default = -1
  }
  filelog {
    stderr {
      default = 0
    }
  }
}
swanctl {
  load = random nonce openssl pem pkcs1
}
CONFIG
  # By this the kernel tells two tunnels between the same two machines apart.
  reqid=$((0x${device#cv} % 1000000 + 1))
  if [ "$side" = client ]; then other=server start='start_action = start' again=restart close='close_action = start'
  else other=client start= again=clear close=; fi
  cat >"$folder/swanctl.conf" <<CONFIG
connections {
  link {
    version = 2
    remote_addrs = ${endpoint:-%any}
    ${remote:+remote_port = $remote}
    encap = yes
    mobike = yes
    proposals = aes256gcm16-prfsha384-ecp384
    dpd_delay = 5s
    keyingtries = 0
    local {
      auth = psk
      id = $id.$side
    }
    remote {
      auth = psk
      id = $id.$other
    }
    children {
      link {
        local_ts = $own/128
        remote_ts = $peer/128
        esp_proposals = aes256gcm16-ecp384
        reqid = $reqid
        $start
        $close
        dpd_action = $again
      }
    }
  }
}
include $folder/secret
CONFIG
  cp "$secret" "$folder/secret" || die 4 "cannot read $secret"
  # The key is given to it later; its configuration and its socket are its user's.
  [ "$side" = client ] || { chown cloudvault: "$folder" "$folder/strongswan.conf"; } || die 4 "cannot hand $folder over"
}

run() {
  command -v charon-systemd >/dev/null || die 3 'there is no charon-systemd'
  ! grep -q libipsec "$folder/strongswan.conf" || [ -w /dev/net/tun ] || die 3 '/dev/net/tun cannot be opened (udev gives it mode 0666)'
  exec charon-systemd
}

# With the kernel's ESP a device that leads nowhere holds the address: what is not encrypted gets lost in it.
up() {
  tries=0
  until [ -S "$folder/vici" ]; do
    tries=$((tries + 1))
    [ $tries -le 200 ] || die 4 'strongSwan does not come up'
    sleep 0.05
  done
  if grep -q libipsec "$folder/strongswan.conf"; then
    ip addr add "$own/128" dev lo nodad || die 4 'no address (is IPv6 off?)'
  else
    ip link add "$device" type dummy && ip addr add "$own/64" dev "$device" nodad && ip link set "$device" up ||
      die 4 'no address (is IPv6 off?)'
  fi
  swanctl --load-all --uri "unix://$folder/vici" --file "$folder/swanctl.conf" >&2 || die 4 'strongSwan does not take its keys'
  : >"$ready"
}

down() {
  rm -f "$ready"
  ip addr del "$own/128" dev lo 2>/dev/null
  ip link del "$device" 2>/dev/null
  rm -rf "$folder"
  return 0
}

stay() {
  engine_pid=
  trap 'trap "" TERM; [ -z "$engine_pid" ] || { kill "$engine_pid" 2>/dev/null; wait "$engine_pid"; }; down; exit 0' TERM INT
  prepare
  (run) &
  engine_pid=$!
  (up) || { kill "$engine_pid" 2>/dev/null; wait "$engine_pid"; down; exit 4; }
  wait "$engine_pid"
  down
  exit 4
}

"$1"
