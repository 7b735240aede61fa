import { commandFailed } from '../engine/action.ts'
import type { Step } from '../engine/step.ts'
import { Exit, Fault } from '../fault.ts'
import type { Host } from '../host/host.ts'
import type { RemoteHost } from '../host/ssh.ts'
import type { ServerMember } from '../profile/profile.ts'
import { scriptStep, userStep } from './base.ts'
import { carrierStep, type Home, keysDiffer, linkKeysStep } from './carrier.ts'
import { deviceDiskStep, deviceGroupOf } from './device.ts'
import { fileDiskStep } from './disk.ts'
import { exportText } from './export.ts'
import { readRemote, run } from './files.ts'
import { chooseFirewall, clientsOf, firewallStep, usesNft } from './firewall/firewall.ts'
import { closedStep, forwardingStep } from './forwarding.ts'
import { packagesStep } from './packages.ts'
import { readPlatform } from './platform.ts'
import { receiptPath, ServerReceipt, sharedReceiptPath } from './receipt.ts'
import { sessionScriptPath, showSession } from './session.ts'
import { placeOf, type Site } from './site.ts'
import { unitStep } from './unit.ts'

/** The table of contents of the far side: a member and its server in, the steps out. */

/**
 * What provision does for one member, in order. Looks at the server, changes nothing.
 * @throws Fault when the server cannot be used for it, or when a session would be pulled from under its holder
 */
export const provisionSteps = async (
  remote: RemoteHost,
  vault: string,
  member: ServerMember,
  home: Home,
): Promise<Step[]> => {
  const site = await survey(remote, vault, member, clientsOf(remote, member))
  const firewall = await chooseFirewall(remote, member)
  await refuseUnderSession(site, exportText(site, firewall))
  if (await keysDiffer(site, home)) await refuseHeld(site, 'its link would get other keys')
  const { disk, link } = member
  const steps = [
    await packagesStep(site, usesNft(firewall, link)),
    userStep(site),
    scriptStep(site),
    disk.kind === 'file' ? fileDiskStep(site, disk) : deviceDiskStep(site, disk),
    await firewallStep(site, firewall),
    unitStep(site, firewall),
    linkKeysStep(site, home),
    carrierStep(site, home),
    ...(link.kind === 'ssh' ? [forwardingStep(site, remote)] : []),
    ...('clients' in link ? [closedStep(site, link.port)] : []),
  ]
  return steps.map((step) => named(step, member.name))
}

/**
 * What unprovision takes away, in the order of making (it is undone from the end): exactly what the receipts say.
 * @throws Fault 6 while a session is held
 */
export const unprovisionSteps = async (
  remote: RemoteHost,
  vault: string,
  member: ServerMember,
  home: Home,
): Promise<Step[]> => {
  const site = await survey(remote, vault, member, [])
  await refuseHeld(site, 'taking the export away would end it')
  const { disk } = member
  const { etc, run: runDir } = placeOf(site)
  const own: Step[] = [
    ours(site.own, 'disk', disk.kind === 'file' ? fileDiskStep(site, disk) : deviceDiskStep(site, disk)),
    ours(site.own, 'firewall', await firewallStep(site, 'none')),
    ours(site.own, 'export', unitStep(site, 'none')),
    ours(site.own, 'link', carrierStep(site, home)),
  ]
  const others = await otherExports(site)
  const shared: Step[] =
    others.length > 0
      ? []
      : [
          ours(site.shared, 'mask', unmask(site)),
          ours(site.shared, 'packages', await packagesStep(site, false)),
          ours(site.shared, 'user', userStep(site)),
          ours(site.shared, 'session script', scriptStep(site)),
        ]
  const leave = folders(site, [etc, runDir, `${runDir}.lock`], others.length === 0)
  return [leave, ...shared, ...own].map((step) => named(step, member.name))
}

/** Reads what every step needs to know. */
const survey = async (
  host: RemoteHost,
  vault: string,
  member: ServerMember,
  clients: readonly string[],
): Promise<Site> => {
  const platform = await readPlatform(host)
  const [own, shared] = await Promise.all([
    ServerReceipt.read(host, receiptPath(vault, member.name)),
    ServerReceipt.read(host, sharedReceiptPath),
  ])
  const device =
    member.disk.kind === 'device' ? { deviceGroup: await deviceGroupOf(host, member.disk.path) } : {}
  return { host, vault, member, platform, own, shared, clients, ...device }
}

/** Steps are called "disk fsn": the member comes last, as in every plan of this project. */
const named = (step: Step, member: string): Step => ({
  ...step,
  name: `${step.name} ${member}`,
  needs: step.needs.map((need) => `${need} ${member}`),
})

/** Only what the receipt lists is there to be taken away; afterwards it is struck out. */
const ours = (receipt: ServerReceipt, item: string, step: Step): Step => ({
  ...step,
  probe: async () => (receipt.get(item) ? { is: 'present' } : { is: 'absent' }),
  down: [...step.down, receipt.forget(item)],
})

const unmask = (site: Site): Step => ({
  name: 'default service',
  needs: [],
  probe: async () => ({ is: 'absent' }),
  up: [],
  down: [run(site.host, 'systemctl', 'unmask', ...(site.shared.get('mask')?.what ?? []))],
})

/** Directories of our own names: removed when nothing but receipts is in them. */
const folders = (site: Site, own: readonly string[], last: boolean): Step => ({
  name: 'receipt',
  needs: [],
  probe: async () => {
    return (await isInstalled(site.host, placeOf(site).etc)) ? { is: 'present' } : { is: 'absent' }
  },
  up: [],
  down: [
    run(site.host, 'rm', '-rf', '--', ...own),
    ...(last ? [run(site.host, 'rm', '-rf', '--', '/etc/cloudvault', '/run/cloudvault')] : []),
  ],
})

const otherExports = async (site: Site): Promise<string[]> => {
  const list = 'for d in /etc/cloudvault/cv-*; do [ -d "$d" ] && basename "$d"; done; true'
  const output = await site.host.run({ argv: ['sh', '-c', list] })
  if (output.code === 0) return output.stdout.split('\n').filter((id) => id !== '' && id !== placeOf(site).id)
  throw new Fault(Exit.unreachable, 'the exports on the server could not be listed', {
    member: site.member.name,
    detail: output.stderr,
  })
}

/** A session in use must not find another port, disk or server under it. */
const refuseUnderSession = async (site: Site, wanted: string): Promise<void> => {
  const found = await readRemote(site.host, `${placeOf(site).etc}/export`)
  if (found !== null && found !== wanted)
    await refuseHeld(site, 'the profile changes its port, disk or server')
}

const refuseHeld = async (site: Site, why: string): Promise<void> => {
  if (!(await isInstalled(site.host, `${placeOf(site).etc}/export`))) return
  if (!(await isInstalled(site.host, sessionScriptPath))) return
  const session = await showSession(site.host, site.vault, site.member.name)
  if (!session.held) return
  throw new Fault(Exit.busy, `a session is held by ${session.holder} since ${session.since}; ${why}`, {
    member: site.member.name,
    stands: 'nothing was changed',
    next: `cloudvault down ${site.vault}   (on the machine that holds it)`,
  })
}

/** @throws Fault when it cannot be told: a failed look is not a "no" */
const isInstalled = async (host: Host, path: string): Promise<boolean> => {
  const argv = ['test', '-e', path]
  const found = await host.run({ argv })
  if (found.code === 0 || found.code === 1) return found.code === 0
  throw commandFailed(host.name, argv, found)
}
