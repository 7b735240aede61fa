/**
 * The root directory of a server: an overlay over the cached image (a full copy where overlays are not possible), with
 * the host key, name and login of this one server.
 */
import { createHash, randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { exec } from './exec.ts'
import type { LabState } from './state.ts'

const serverDir = (state: LabState, name: string): string => path.join(state.dir, name)

export const rootDir = (state: LabState, name: string): string => path.join(serverDir(state, name), 'root')

export const serverLog = (state: LabState, name: string): string =>
  path.join(serverDir(state, name), 'console.log')

const hostKey = (state: LabState, name: string): string => path.join(state.dir, 'keys', `host-${name}`)

/** `SHA256:…` as OpenSSH prints it: base64 of the digest of the key's wire form, without padding. */
export const hostKeyFingerprint = (state: LabState, name: string): string => {
  const wire = readFileSync(`${hostKey(state, name)}.pub`, 'utf8').split(' ')[1] ?? ''
  const digest = createHash('sha256').update(Buffer.from(wire, 'base64')).digest('base64')
  return `SHA256:${digest.replace(/=+$/, '')}`
}

const authorize = (state: LabState, home: string, owner: number): void => {
  const ssh = path.join(home, '.ssh')
  mkdirSync(ssh, { recursive: true })
  copyFileSync(path.join(state.dir, 'keys/id_ed25519.pub'), path.join(ssh, 'authorized_keys'))
  for (const [file, mode] of [
    [ssh, 0o700],
    [path.join(ssh, 'authorized_keys'), 0o600],
  ] as const) {
    chmodSync(file, mode)
    chownSync(file, owner, owner)
  }
}

const personalize = (state: LabState, name: string): void => {
  const root = rootDir(state, name)
  writeFileSync(path.join(root, 'etc/hostname'), `${name}\n`)
  writeFileSync(path.join(root, 'etc/hosts'), `127.0.0.1 localhost\n127.0.1.1 ${name}\n`)
  // A set id: with an empty one systemd takes every boot for the first and applies its presets.
  writeFileSync(path.join(root, 'etc/machine-id'), `${randomBytes(16).toString('hex')}\n`)
  for (const suffix of ['', '.pub']) {
    const target = path.join(root, `etc/ssh/ssh_host_ed25519_key${suffix}`)
    copyFileSync(`${hostKey(state, name)}${suffix}`, target)
    chmodSync(target, suffix === '' ? 0o600 : 0o644)
  }
  authorize(state, path.join(root, 'root'), 0)
  const ops = path.join(root, 'home/ops')
  authorize(state, ops, statSync(ops).uid)
}

/** Makes the root directory on the first start; later starts find the disk as it was left. */
export const prepareRoot = async (state: LabState, name: string): Promise<void> => {
  const root = rootDir(state, name)
  if (existsSync(path.join(root, 'etc'))) return
  const upper = path.join(serverDir(state, name), 'upper')
  const work = path.join(serverDir(state, name), 'work')
  for (const dir of [root, upper, work]) mkdirSync(dir, { recursive: true })
  const options = `lowerdir=${state.serverRoot},upperdir=${upper},workdir=${work}`
  const overlay = await exec(['mount', '-t', 'overlay', '-o', options, 'overlay', root], { allowFail: true })
  if (overlay.code !== 0)
    await exec(['cp', '-a', '--reflink=auto', `${state.serverRoot}/.`, root], { deadlineMs: 300_000 })
  personalize(state, name)
}
