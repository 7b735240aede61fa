/**
 * The lab's wires: a bridge in a namespace of its own, a veth to each machine, all made inside the lab's namespaces, so
 * that no frame ever meets the host's network. Offloads are off everywhere: User-Mode Linux reads raw frames.
 */
import { exec } from './exec.ts'
import { bridgeNamespace, ipv6, mac, machine, net, port, type Seat } from './names.ts'

const bridge = 'br0'

const script = (lines: readonly string[]): Promise<unknown> =>
  exec(['sh', '-ec', lines.join('\n')], { deadlineMs: 30_000 })

const plain = (namespace: string, device: string): string =>
  `ip netns exec ${namespace} ethtool -K ${device} gro off tso off gso off tx off rx off >/dev/null 2>&1 || :`

export const makeBridge = (id: string): Promise<unknown> => {
  const ns = bridgeNamespace(id)
  return script([
    `ip netns add ${ns}`,
    `ip -n ${ns} link set lo up`,
    `ip -n ${ns} link add ${bridge} type bridge stp_state 0 forward_delay 0`,
    `ip -n ${ns} addr add ${net.bridge}/${net.prefix} dev ${bridge}`,
    `ip -n ${ns} link set ${bridge} up`,
  ])
}

/** Makes a client's two wires: the data link, and one that only the lab uses to command it. */
export const makeSeat = (id: string, seat: Seat): Promise<unknown> => {
  const ns = bridgeNamespace(id)
  return script([
    `ip -n ${ns} link add ${seat.data} type veth peer name ${port(seat.name)}`,
    `ip -n ${ns} link set ${port(seat.name)} master ${bridge}`,
    `ip -n ${ns} link add ${seat.control} type veth peer name ${seat.controlEnd}`,
    `ip -n ${ns} addr add ${seat.controlHost}/${net.prefix} dev ${seat.controlEnd}`,
    ...[seat.data, port(seat.name), seat.control, seat.controlEnd].flatMap((device) => [
      plain(ns, device),
      `ip -n ${ns} link set ${device} promisc on up`,
    ]),
  ])
}

/** Makes the namespace of a server or bystander and plugs it into the bridge. */
export const makeMachine = (id: string, name: string, address: string): Promise<unknown> => {
  const ns = bridgeNamespace(id)
  const own = machine(id, name)
  return script([
    `ip netns add ${own}`,
    `ip -n ${own} link set lo up`,
    `ip -n ${ns} link add ${port(name)} type veth peer name eth0 netns ${own}`,
    `ip -n ${own} link set eth0 address ${mac(address)}`,
    `ip -n ${own} addr add ${address}/${net.prefix} dev eth0`,
    `ip -n ${own} addr add ${ipv6(address)}/64 dev eth0 nodad`,
    `ip -n ${ns} link set ${port(name)} master ${bridge}`,
    plain(ns, port(name)),
    plain(own, 'eth0'),
    `ip -n ${own} link set eth0 up`,
    `ip -n ${ns} link set ${port(name)} up`,
  ])
}

/** Takes a machine's namespace away, and with it its wire, its sockets and its firewall: what a power cut leaves. */
export const removeMachine = async (id: string, name: string): Promise<void> => {
  await exec(['ip', '-n', bridgeNamespace(id), 'link', 'del', port(name)], { allowFail: true })
  await exec(['ip', 'netns', 'del', machine(id, name)], { allowFail: true })
}

/** Pulls (or plugs) the cable of a machine; frames are lost in silence. `name` may be "client". */
export const setLink = (id: string, name: string, up: boolean): Promise<unknown> =>
  exec(['ip', '-n', bridgeNamespace(id), 'link', 'set', port(name), up ? 'up' : 'down'])

/** Puts a pair of devices in the way of a machine's wire; returns the two ends a forwarder must join. */
export const openWire = async (id: string, name: string): Promise<readonly [string, string]> => {
  const ns = bridgeNamespace(id)
  const near = `w-${name}`
  const far = `b-${name}`
  await script([
    `ip -n ${ns} link add ${near} type veth peer name ${far}`,
    plain(ns, near),
    plain(ns, far),
    `ip -n ${ns} link set ${port(name)} nomaster`,
    `ip -n ${ns} link set ${port(name)} promisc on`,
    `ip -n ${ns} link set ${far} master ${bridge}`,
    `ip -n ${ns} link set ${near} promisc on up`,
    `ip -n ${ns} link set ${far} up`,
  ])
  return [port(name), near]
}

/** The inverse of `openWire`: the machine's wire is in the bridge again. */
export const closeWire = (id: string, name: string): Promise<unknown> => {
  const ns = bridgeNamespace(id)
  return script([
    `ip -n ${ns} link del w-${name} 2>/dev/null || :`,
    `ip -n ${ns} link set ${port(name)} master ${bridge}`,
  ])
}
