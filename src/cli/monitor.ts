import { setFlagsFromString } from 'node:v8'
import { Exit, type ExitCode, Fault } from '../fault.ts'
import { memberId } from '../names.ts'
import { sizesOf } from '../record/record.ts'
import { findByBackend } from '../stack/attach/sysfs.ts'
import { memberStack } from '../stack/order.ts'
import { monitor } from '../vault/monitor.ts'
import { Context, requireRoot } from './context.ts'
import type { World } from './world.ts'

/** `cloudvault monitor`: runs in the background while the vault is up. It takes no lock: `down` must be able to end it. */
export const monitorVerb = async (world: World, name: string): Promise<ExitCode> => {
  requireRoot(world, 'monitor', name)
  // It makes little garbage, for months. Room that grows with it was 6 MB more, measured under Node 20 to 26.
  setFlagsFromString('--semi-space-growth-factor=1')
  const context = await Context.open(world, name, { change: false })
  try {
    const { profile, record, vault, supervisor } = context
    if (record?.phase !== 'created')
      throw new Fault(Exit.missing, `this machine has no record of ${profile.vault}`)
    const attached = await Promise.all(
      profile.members.map(async (member) =>
        (await findByBackend(memberId(profile.vault, member.name))) === null ? null : member,
      ),
    )
    const stacks = attached
      .filter((member) => member !== null)
      .map((member) =>
        memberStack(vault, member, sizesOf(record.members[member.name]), {
          supervisor,
          takeOver: false,
        }),
      )
    const say = (line: string) => world.stderr.write(`${new Date().toISOString()} ${line}\n`)
    await monitor({ vault, record, supervisor, signal: world.signal, say }, stacks)
    return Exit.ok
  } finally {
    await context.close()
  }
}
