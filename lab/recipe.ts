/**
 * What the two images consist of, as data: their hash names the cache, so every change here makes new images.
 * Nothing of one lab (keys, addresses) is in an image; that is handed over at boot.
 */

/** Raised when image.ts itself builds differently. */
export const version = 1

export const suite = 'bookworm'

/** The trusted client: what cloudvault drives, both inits, and what the tests measure with. */
export const clientPackages = [
  'systemd-sysv',
  'dbus',
  'openssh-server',
  'openssh-client',
  'cryptsetup-bin',
  'dmsetup',
  'btrfs-progs',
  'nbd-client',
  'nbdkit',
  'fio',
  'git',
  'rsync',
  'sqlite3',
  'stress-ng',
  'kmod',
  'udev',
  'iproute2',
  'iputils-ping',
  'procps',
  'psmisc',
  'util-linux',
  'bsdutils',
  'iptables',
  'stunnel4',
  'wireguard-tools',
  'wireguard-go',
  'charon-systemd',
  'strongswan-swanctl',
  'libstrongswan-standard-plugins',
  'libcharon-extra-plugins',
  'libfido2-1',
  'libtss2-esys-3.0.2-0',
  'libtss2-mu0',
  'libtss2-rc0',
  'libtss2-tcti-device0',
  'libtss2-tcti-swtpm0',
  'swtpm',
  'swtpm-tools',
  'tpm2-tools',
  'libstdc++6',
  'libatomic1',
  'ca-certificates',
]

/** An untrusted server as a provider hands it over: sshd, sudo, systemd and nothing of ours. */
export const serverPackages = [
  'systemd-sysv',
  'dbus',
  'openssh-server',
  'sudo',
  'iproute2',
  'iputils-ping',
  'procps',
  'util-linux',
  'ca-certificates',
]

/** Served to the servers from /srv/apt with all that they depend on: a namespace has no way out to a mirror. */
export const repositoryPackages = [
  'nbd-server',
  'nbdkit',
  'nftables',
  'ufw',
  'iptables',
  'firewalld',
  'stunnel4',
  'wireguard-tools',
  'wireguard-go',
  'charon-systemd',
  'strongswan-swanctl',
  'libstrongswan-standard-plugins',
  'libcharon-extra-plugins',
  'fio',
]

export const clientMiB = 3000

/**
 * Runs in the guest before sshd, under both inits. The kernel's command line says which directory of the host belongs
 * to this lab; its setup.sh brings keys and addresses. Modules stay unloaded: loading them is cloudvault's work.
 */
const guestSetup = `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
for word in $(cat /proc/cmdline); do case $word in cvlab=*) dir=\${word#cvlab=} ;; esac; done
mkdir -p /host /run/cryptsetup /run/sshd
mount -t hostfs none -o / /host
sh "/host$dir/setup.sh"
`

const guestInit = `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /run
mkdir -p /dev/pts /dev/shm /run/lock
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
chmod 1777 /tmp /dev/shm /run/lock
/lib/systemd/systemd-udevd --daemon
/usr/local/sbin/lab-setup
exec /usr/sbin/sshd -D -e
`

const guestUnit = `[Unit]
Description=Keys and addresses of this lab
DefaultDependencies=no
After=local-fs.target systemd-udevd.service
Before=ssh.service network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/lab-setup

[Install]
WantedBy=multi-user.target
`

/** Many commands share one connection; the default limit is ten. */
const guestSshd = `PermitRootLogin prohibit-password
UsePAM no
UseDNS no
PrintLastLog no
MaxSessions 200
MaxStartups 100
ClientAliveInterval 0
AcceptEnv *
`

export interface ImageFile {
  readonly text: string
  readonly mode: number
}

export const clientFiles: Readonly<Record<string, ImageFile>> = {
  '/usr/local/sbin/lab-setup': { text: guestSetup, mode: 0o755 },
  '/usr/local/sbin/lab-init': { text: guestInit, mode: 0o755 },
  '/etc/systemd/system/lab-setup.service': { text: guestUnit, mode: 0o644 },
  '/etc/ssh/sshd_config.d/lab.conf': { text: guestSshd, mode: 0o644 },
  '/etc/fstab': { text: '/dev/ubda / ext4 rw,noatime 0 0\n', mode: 0o644 },
  '/etc/sysctl.d/50-lab.conf': { text: 'net.ipv4.conf.all.promote_secondaries=1\n', mode: 0o644 },
  '/etc/hostname': { text: 'client\n', mode: 0o644 },
  '/etc/hosts': { text: '127.0.0.1 localhost\n127.0.1.1 client\n', mode: 0o644 },
}

export const serverFiles: Readonly<Record<string, ImageFile>> = {
  '/etc/apt/sources.list': { text: 'deb [trusted=yes] file:/srv/apt ./\n', mode: 0o644 },
  '/etc/apt/apt.conf.d/50-lab': { text: 'Acquire::Languages "none";\n', mode: 0o644 },
  // The servers live for minutes; waiting for the host's disk after every unpacked file helps nobody.
  '/etc/dpkg/dpkg.cfg.d/50-lab': { text: 'force-unsafe-io\n', mode: 0o644 },
  '/etc/sudoers.d/ops': { text: 'ops ALL=(ALL) NOPASSWD: ALL\n', mode: 0o440 },
}

/** Shell for the server's root, given as $1: the user that is not root, the units a container has no use for. */
export const serverHook = `set -e
chroot "$1" useradd -m -s /bin/bash ops
chroot "$1" systemctl -q mask getty@tty1.service console-getty.service systemd-resolved.service \\
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer
rm -f "$1"/etc/ssh/ssh_host_*
`

/** Shell for the client's root, given as $1. */
export const clientHook = `set -e
mkdir -p "$1/etc/systemd/system/multi-user.target.wants"
ln -s ../lab-setup.service "$1/etc/systemd/system/multi-user.target.wants/lab-setup.service"
chroot "$1" systemctl -q mask getty@tty1.service systemd-networkd-wait-online.service apt-daily.timer \\
  apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer stunnel4.service strongswan.service
rm -f "$1"/etc/ssh/ssh_host_*
`
