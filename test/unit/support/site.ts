import type { Host } from '../../../src/host/host.ts'
import type { ServerMember } from '../../../src/profile/profile.ts'
import { ServerReceipt } from '../../../src/server/receipt.ts'
import type { Site } from '../../../src/server/site.ts'
import { scriptedHost } from './scripted-host.ts'

export const member = (more: Partial<ServerMember> = {}): ServerMember => ({
  kind: 'server',
  name: 'fsn',
  provider: 'hetzner',
  ssh: 'vps-fsn',
  disk: { kind: 'file', path: '/srv/cloudvault/photos.img', sizeBytes: 268435456 },
  server: 'nbd-server',
  link: { kind: 'ssh' },
  patienceMs: 30_000,
  ...more,
})

/** What a receipt holds, by item. */
export type Items = Readonly<Record<string, readonly string[]>>

/** A receipt as it would be read from a server, writing back to `host`. */
export const receipt = (host: Host, path: string, items: Items = {}): Promise<ServerReceipt> => {
  const made = Object.fromEntries(
    Object.entries(items).map(([item, what]) => [item, { state: 'made', what }]),
  )
  const stdout = JSON.stringify({ schema: 'cloudvault.server-receipt/1', made })
  const source = scriptedHost('fsn', [['cat --', { stdout }]])
  return ServerReceipt.read(
    {
      name: host.name,
      run: (command) =>
        command.input === undefined && command.argv[3] === 'read' ? source.run(command) : host.run(command),
    },
    path,
  )
}

export interface SiteOptions {
  readonly member?: Partial<ServerMember>
  readonly clients?: readonly string[]
  readonly own?: Items
  readonly shared?: Items
}

export const site = async (host: Host, options: SiteOptions = {}): Promise<Site> => ({
  host,
  vault: 'photos',
  member: member(options.member),
  platform: { name: 'Debian', packageManager: 'apt', architecture: 'x86_64', bootId: 'b' },
  own: await receipt(host, '/etc/cloudvault/cv-photos-fsn/receipt.json', options.own),
  shared: await receipt(host, '/etc/cloudvault/shared.json', options.shared),
  clients: options.clients ?? [],
})
