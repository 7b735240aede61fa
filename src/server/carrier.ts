import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { commandFailed, perform } from '../engine/action.ts'
import type { Action, Finding, Step } from '../engine/step.ts'
import type { Host, LocalMachine } from '../host/host.ts'
import { farLinkFiles, linkFiles, linkKeysState, makeLinkKeys, readLinkKey } from '../keyring/link-keys.ts'
import { tunnelPort } from '../names.ts'
import type { Link } from '../profile/profile.ts'
import type { VaultPaths } from '../record/paths.ts'
import { ipsecServerScript, ipsecUnit } from './carrier/ipsec.ts'
import { tlsUnit } from './carrier/tls.ts'
import { kernelHasWireguard, wireguardScript, wireguardUnit } from './carrier/wireguard.ts'
import { putFile, readRemote, run } from './files.ts'
import { placeOf, type Site } from './site.ts'

/**
 * The far end of a link that is more than the export's own socket: a unit of its own, which the session script starts
 * and stops with the export, and the keys by which both ends know each other. Another kind is a file in carrier/ and
 * a case in each of the functions below.
 */

/** Where the keys are made and kept: on this machine. */
export interface Home {
  readonly local: LocalMachine
  readonly paths: VaultPaths
}

/** The line that the session script reads of it. */
export const carrierFact = (link: Link): readonly string[] => {
  if (link.kind === 'tls') return [`carrier tls ${link.port} ${link.auth}`]
  return link.kind === 'wireguard' || link.kind === 'ipsec' ? [`carrier ${link.kind} ${link.port}`] : []
}

/** Where the export itself listens: the port inside a tunnel, the open one of a plain link, or null: a unix socket. */
export const listensAt = (link: Link): number | null => {
  if (link.kind === 'plain') return link.port
  return link.kind === 'wireguard' || link.kind === 'ipsec' ? tunnelPort : null
}

/** Programs that it needs on the server. */
export const carrierPrograms = async (host: Host, link: Link): Promise<readonly string[]> => {
  if (link.kind === 'tls') return ['stunnel']
  if (link.kind === 'ipsec') return ['ip', 'swanctl', 'charon-systemd']
  if (link.kind !== 'wireguard') return []
  return (await kernelHasWireguard(host)) ? ['wg', 'ip'] : ['wg', 'ip', 'wireguard-go']
}

/** Its files besides keys, by path. */
const textsOf = (site: Site): readonly (readonly [path: string, text: string])[] => {
  const { link } = site.member
  const { linkFile, etc } = placeOf(site)
  if (link.kind === 'tls') return [[linkFile, tlsUnit(site, link)]]
  if (link.kind === 'ipsec')
    return [
      [linkFile, ipsecUnit(site, link)],
      [`${etc}/ipsec.sh`, ipsecServerScript(site, link)],
    ]
  if (link.kind !== 'wireguard') return []
  return [
    [linkFile, wireguardUnit(site, link)],
    [`${etc}/wireguard.sh`, wireguardScript(site, link)],
  ]
}

/** The keys here, made when they are missing or about to be too old. */
export const linkKeysStep = ({ vault, member }: Site, { local, paths }: Home): Step => {
  const folder = paths.linkKeys(member.name)
  const make: Action = {
    on: local,
    text: `make new keys in ${folder}: ${linkFiles(member.link).join(', ')}`,
    call: () => makeLinkKeys(local, paths, vault, member),
  }
  return {
    name: 'link keys',
    needs: [],
    probe: async (): Promise<Finding> => {
      const state = await linkKeysState(paths, member)
      if (state === 'missing') return { is: 'absent' }
      if (state === 'ending') return { is: 'differs', found: 'a certificate ends soon' }
      return { is: 'present', note: linkFiles(member.link).length > 0 ? folder : 'this link has none' }
    },
    up: [make],
    mend: [make],
    down: [],
  }
}

/** Unit and keys on the server. What an older profile had there goes when this link needs none. */
export const carrierStep = (site: Site, home: Home): Step => {
  const { host, own, member } = site
  const place = placeOf(site)
  const texts = textsOf(site)
  const keys = farLinkFiles(member.link)
  const what = [...texts.map(([path]) => path), ...keys.map((file) => `${place.etc}/${file}`)]
  const stale = (own.get('link')?.what ?? []).filter((path) => !what.includes(path))
  const install: Action[] = [
    own.mark('link', 'making', [...what, ...stale]),
    ...(stale.length > 0 ? [run(host, 'rm', '-f', '--', ...stale)] : []),
    ...keys.map((file): Action => putKey(site, home, file)),
    ...texts.map(([path, text]) => putFile(host, path, text)),
    run(host, 'systemctl', 'daemon-reload'),
    own.mark('link', 'made', what),
  ]
  const down = [
    { on: host, command: { argv: ['systemctl', 'stop', place.link], deadline: 120_000 }, ok: [0, 5] },
    run(host, 'rm', '-f', '--', ...(own.get('link')?.what ?? what)),
    run(host, 'systemctl', 'daemon-reload'),
  ]
  const gone = {
    probe: async (): Promise<Finding> =>
      own.get('link')
        ? { is: 'differs', found: 'a link is left over from an older profile' }
        : { is: 'present', note: 'nothing stands before the export' },
    up: [],
    mend: [...down, own.forget('link')],
  }
  const there = { probe: () => probeCarrier(site, home, texts), up: install, mend: install }
  return { name: 'link', needs: ['export', 'link keys'], ...(texts.length === 0 ? gone : there), down }
}

/** The key is read when it is sent, for it may have been made just now. */
const putKey = (site: Site, { paths }: Home, file: string): Action => {
  const path = `${placeOf(site).etc}/${file}`
  return {
    on: site.host,
    text: `write ${path}, readable for root alone`,
    call: async () =>
      perform(putFile(site.host, path, await readLinkKey(paths, site.member.name, file), '0600')),
  }
}

const probeCarrier = async (site: Site, home: Home, texts: ReturnType<typeof textsOf>): Promise<Finding> => {
  const { link } = placeOf(site)
  const found = await Promise.all(texts.map(([path]) => readRemote(site.host, path)))
  if (found.every((text) => text === null)) return { is: 'absent' }
  if (texts.some(([, text], index) => found[index] !== text))
    return { is: 'differs', found: `${link} is not as the profile says` }
  if (await keysDiffer(site, home))
    return { is: 'differs', found: 'its keys are not the ones of this machine' }
  return { is: 'present', note: link }
}

/** Only digests travel: nobody has to read a key to compare it. */
export const keysDiffer = async (site: Site, { paths }: Home): Promise<boolean> => {
  const { etc } = placeOf(site)
  const files = farLinkFiles(site.member.link)
  if (files.length === 0) return false
  const argv = ['sha256sum', '--', ...files.map((file) => `${etc}/${file}`)]
  const output = await site.host.run({ argv })
  if (output.code !== 0 && output.code !== 1) throw commandFailed(site.host.name, argv, output)
  const far = new Map(
    [...output.stdout.matchAll(/^([0-9a-f]{64}) {2}(\S+)$/gm)].map((match) => [match[2], match[1]]),
  )
  for (const file of files) {
    const here = await readFile(join(paths.linkKeys(site.member.name), file)).catch(() => null)
    if (here === null) return true
    if (far.get(`${etc}/${file}`) !== createHash('sha256').update(here).digest('hex')) return true
  }
  return false
}
