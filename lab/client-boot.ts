/**
 * What the client's kernel is started with: keys and addresses of this lab, handed over through the host's filesystem
 * before its sshd starts, and the command line.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { exec, launch } from './exec.ts'
import { bridgeNamespace, ipv6, mac, net, type Seat, serverNames, stateDir, stem } from './names.ts'
import type { LabState } from './state.ts'

/** One client of a lab. */
export interface Seated extends LabState {
  readonly seat: Seat
}

/** The client's directory on the host: disk, console, what it reads at boot. */
export const scratch = (state: Seated): string => path.join(state.dir, state.seat.name)

const controlSocket = (state: Seated): string =>
  path.join(stateDir(state.id), state.seat.name === 'client' ? 'ctl' : 'ctl2')

/** What its kernel is known by among the processes of this machine. */
export const umid = (state: Seated): string =>
  state.seat.name === 'client' ? stem(state.id) : `${stem(state.id)}-${state.seat.name}`

/** A command through the shared connection: `ssh -S socket client LINE`. */
export const muxArgv = (state: Seated): string[] => [
  'ssh',
  '-S',
  controlSocket(state),
  '-F',
  'none',
  '-o',
  'LogLevel=ERROR',
  '-o',
  'ControlMaster=no',
  '-o',
  'ProxyCommand=false',
  'root@client',
]

/** Opens the shared connection from the bridge's namespace and goes to the background once it stands. */
export const connectArgv = (state: Seated): string[] => [
  'ip',
  'netns',
  'exec',
  bridgeNamespace(state.id),
  'ssh',
  '-f',
  '-N',
  '-M',
  '-S',
  controlSocket(state),
  '-F',
  'none',
  '-i',
  path.join(state.dir, 'keys/control'),
  '-o',
  'IdentitiesOnly=yes',
  '-o',
  'IdentityAgent=none',
  '-o',
  `UserKnownHostsFile=${path.join(state.dir, 'keys/known_hosts')}`,
  '-o',
  'StrictHostKeyChecking=yes',
  '-o',
  'HostKeyAlias=client',
  '-o',
  'BatchMode=yes',
  '-o',
  'ControlPersist=yes',
  '-o',
  'ConnectTimeout=100',
  '-o',
  'ServerAliveInterval=30',
  '-o',
  'ServerAliveCountMax=20',
  `root@${state.seat.controlClient}`,
]

/** Keys of one lab: the client's own, the lab's key to the client, and a host key for every machine. */
export const makeKeys = async (state: LabState): Promise<void> => {
  const dir = path.join(state.dir, 'keys')
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const make = (name: string, comment: string) =>
    exec(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', path.join(dir, name)])
  await Promise.all([
    make('id_ed25519', 'root@client'),
    make('control', 'lab'),
    make('host-client', 'client'),
    ...state.servers.map((name) => make(`host-${name}`, name)),
  ])
  const host = readFileSync(path.join(dir, 'host-client.pub'), 'utf8')
  writeFileSync(path.join(dir, 'known_hosts'), `client ${host}`)
}

const sshConfig = (state: LabState): string =>
  state.servers
    .map((name) =>
      [`Host vps-${name}`, `  HostName ${net.server(serverNames.indexOf(name))}`, '  User root', ''].join(
        '\n',
      ),
    )
    .join('\n')

const wrapper = (state: LabState): string =>
  `#!/bin/sh\nexec "/host${state.node}" "/host${state.repository}/bin/cloudvault.js" "$@"\n`

/** Writes the script the guest runs at boot. Idempotent there: it runs at every boot of the same disk. */
export const writeSetup = (state: Seated, address: string): void => {
  const here = `/host${scratch(state)}`
  const keys = `/host${state.dir}/keys`
  const script = `set -e
ip link set lo up
sysctl -q -w net.ipv4.conf.all.promote_secondaries=1
ip addr replace ${address}/${net.prefix} dev vec0
modprobe ipv6
ip -6 addr replace ${ipv6(address)}/64 dev vec0 nodad
ip link set vec0 up
ip addr replace ${state.seat.controlClient}/${net.prefix} dev vec1
ip link set vec1 up
install -d -m 700 /root/.ssh
install -m 600 ${keys}/id_ed25519 ${keys}/id_ed25519.pub /root/.ssh/
install -m 600 ${keys}/control.pub /root/.ssh/authorized_keys
[ -e /root/.ssh/config ] || install -m 600 ${here}/ssh_config /root/.ssh/config
install -m 600 ${keys}/host-client /etc/ssh/ssh_host_ed25519_key
install -m 755 ${here}/cloudvault /usr/local/bin/cloudvault
ln -sfn /host${state.node} /usr/local/bin/node
hostname ${state.seat.name}
touch ${here}/booted
`
  writeFileSync(path.join(scratch(state), 'setup.sh'), script)
}

/** Makes the client's directory ready for a boot. Its memory is a tmpfs of its own: /dev/shm may be small or noexec. */
export const prepareClient = async (state: Seated): Promise<void> => {
  const dir = scratch(state)
  mkdirSync(path.join(dir, 'mem'), { recursive: true, mode: 0o700 })
  rmSync(path.join(dir, 'booted'), { force: true })
  writeFileSync(path.join(dir, 'ssh_config'), sshConfig(state))
  writeFileSync(path.join(dir, 'cloudvault'), wrapper(state))
  const mounted = readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${dir}/mem `)
  if (!mounted)
    await exec([
      'mount',
      '-t',
      'tmpfs',
      '-o',
      `mode=700,size=${state.memoryMiB + 64}M`,
      'tmpfs',
      path.join(dir, 'mem'),
    ])
  const neighbour = ['neigh', 'replace', state.seat.controlClient, 'lladdr', mac(state.seat.controlClient)]
  await exec([
    'ip',
    '-n',
    bridgeNamespace(state.id),
    ...neighbour,
    'dev',
    state.seat.controlEnd,
    'nud',
    'permanent',
  ])
}

const wire = (index: number, device: string, address: string): string =>
  `vec${index}:transport=raw,ifname=${device},depth=128,gro=1,mac=${mac(address)}`

/** Starts the kernel as a daemon; returns its first pid. */
export const launchKernel = (state: Seated, address: string): number => {
  const dir = scratch(state)
  writeSetup(state, address)
  const words = [
    'ip',
    'netns',
    'exec',
    bridgeNamespace(state.id),
    'env',
    `TMPDIR=${dir}/mem`,
    ...(state.shim === null ? [] : [`LD_PRELOAD=${state.shim}`]),
    'linux.uml',
    `umid=${umid(state)}`,
    `uml_dir=${dir}/`,
    `mem=${state.memoryMiB}M`,
    `ubd0=${dir}/disk.cow,${state.clientDisk}`,
    'root=/dev/ubda',
    'rw',
    wire(0, state.seat.data, state.seat.address),
    wire(1, state.seat.control, state.seat.controlClient),
    `cvlab=${dir}`,
    'con=null',
    'con0=null,fd:1',
    'ssl=null',
    'net.ifnames=0',
    'quiet',
    ...(state.init === 'light' ? ['init=/usr/local/sbin/lab-init'] : ['systemd.show_status=0']),
  ]
  return launch(words, path.join(dir, 'console.log'))
}
