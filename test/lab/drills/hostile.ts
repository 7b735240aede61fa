import { copyFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Lab, LabServer } from '../../../lab/index.ts'

/**
 * A provider whose server program loses, lies or breaks: a drop-in lets the export's own unit start drivers/hostile.mjs
 * in the place of nbd-server, so that session, socket, name and restarts are what they always are.
 */

/** What drivers/hostile.mjs understands; nothing is an honest server that writes through. */
export interface Behaviour {
  readonly keep?: 'memory' | 'lie'
  readonly from?: number
  readonly readErrors?: number
  readonly writeErrors?: 'ENOSPC'
  readonly replies?: 'magic' | 'twice' | 'half' | 'stranger'
  readonly greeting?: 'magic'
  readonly flush?: false
  readonly log?: string
}

/** On the server. */
const folder = '/srv/hostile'
/** Systemd applies it to every unit whose name begins with "cv-". */
const dropIn = '/etc/systemd/system/cv-.service.d/hostile.conf'

const unit = `[Unit]
StartLimitIntervalSec=0

[Service]
Type=exec
PIDFile=
ExecStart=
ExecStart=${folder}/node ${folder}/hostile.mjs /run/cloudvault/%N/config ${folder}/behaviour
ReadWritePaths=${folder}
# What a JavaScript engine cannot do without.
MemoryDenyWriteExecute=no
SystemCallFilter=
`

const inside = (server: LabServer, file: string): string => path.join(server.root, file)

/** From its next start on, every export of this server is the hostile one; honest until told otherwise. */
export const makeHostile = async (lab: Lab, server: LabServer): Promise<void> => {
  for (const file of [folder, path.dirname(dropIn)]) mkdirSync(inside(server, file), { recursive: true })
  copyFileSync(process.execPath, inside(server, `${folder}/node`))
  copyFileSync(
    path.join(lab.repository, 'test/lab/drivers/hostile.mjs'),
    inside(server, `${folder}/hostile.mjs`),
  )
  writeFileSync(inside(server, dropIn), unit)
  behave(server, {})
  await server.run(`chmod 1777 ${folder} && systemctl daemon-reload`)
}

/** From the next request on. */
export const behave = (server: LabServer, behaviour: Behaviour): void => {
  const file = inside(server, `${folder}/behaviour`)
  writeFileSync(`${file}.new`, JSON.stringify(behaviour))
  renameSync(`${file}.new`, file)
}
