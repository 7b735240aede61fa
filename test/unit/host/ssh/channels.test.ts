import { EventEmitter } from 'node:events'
import { Duplex, PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { Secret } from '../../../../src/host/secret.ts'
import { type ExecClient, SshChannels } from '../../../../src/host/ssh/channels.ts'

type Play = (channel: FakeChannel, line: string) => void

/** Like ssh2's: it closes when the far side says so, not when both directions have ended. */
class FakeChannel extends Duplex {
  readonly stderr = new PassThrough()
  readonly fed: Buffer[] = []

  constructor() {
    super({ autoDestroy: false, emitClose: false })
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.fed.push(Buffer.from(chunk))
    done()
  }

  say(text: string): void {
    this.push(text)
  }

  exit(code: number | null): void {
    setImmediate(() => {
      if (code !== null) this.emit('exit', code)
      setImmediate(() => this.emit('close'))
    })
  }
}

const channels = (play: Play) => {
  const lines: string[] = []
  const opened: FakeChannel[] = []
  const client = Object.assign(new EventEmitter(), {
    exec: (line: string, ready: (error: undefined, channel: FakeChannel) => void) => {
      lines.push(line)
      const channel = new FakeChannel()
      opened.push(channel)
      setImmediate(() => {
        ready(undefined, channel)
        play(channel, line)
      })
    },
  })
  return { lines, opened, client, ssh: new SshChannels(client as unknown as ExecClient, 'fsn') }
}

const environment = 'env LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

describe('SshChannels', () => {
  test('sends one quoted line, feeds stdin, gathers output', async () => {
    const { ssh, lines, opened } = channels((channel) => {
      channel.say('out')
      channel.stderr.push('err')
      channel.exit(3)
    })
    const output = await ssh.run(
      { argv: ['cat', "it's $HOME"], input: new Secret(Buffer.from('key')) },
      false,
    )
    expect(output).toEqual({ code: 3, stdout: 'out', stderr: 'err' })
    expect(lines).toEqual([`${environment} cat 'it'\\''s $HOME'`])
    expect(Buffer.concat(opened[0]?.fed ?? []).toString()).toBe('key')
  })

  test('asks sudo only when told to', async () => {
    const { ssh, lines } = channels((channel) => channel.exit(0))
    await ssh.run({ argv: ['id'] }, true)
    expect(lines).toEqual([`${environment} sudo -n id`])
  })

  test('a channel that closes without an exit status is unknown, not failed', async () => {
    const { ssh } = channels((channel) => channel.exit(null))
    expect((await ssh.run({ argv: ['true'] }, false)).code).toBeNull()
  })

  test('a connection that is lost is unknown; the next command is refused, exit 4', async () => {
    const { ssh, client } = channels(() => setImmediate(() => client.emit('close')))
    expect((await ssh.run({ argv: ['true'] }, false)).code).toBeNull()
    await expect(ssh.run({ argv: ['true'] }, false)).rejects.toMatchObject({ exit: 4 })
  })

  test('a command that does not end meets its deadline, exit 4', async () => {
    const { ssh, opened } = channels(() => {})
    await expect(ssh.run({ argv: ['sleep', '9'], deadline: 30 }, false)).rejects.toMatchObject({ exit: 4 })
    expect(opened[0]?.destroyed).toBe(true)
  })

  test('a server that sends for ever is cut off, exit 4', async () => {
    const flood = (channel: FakeChannel): void => {
      if (channel.destroyed) return
      channel.push(Buffer.alloc(1024 * 1024))
      setImmediate(() => flood(channel))
    }
    const { ssh } = channels(flood)
    await expect(ssh.run({ argv: ['yes'] }, false)).rejects.toThrow('sent more than 4 MiB')
  })

  test('a program that is not there: exit 3; a script that ends with 127: its own business', async () => {
    const missing = channels((channel) => {
      channel.stderr.push("env: 'nft': No such file or directory\n")
      channel.exit(127)
    })
    await expect(missing.ssh.run({ argv: ['nft'] }, false)).rejects.toMatchObject({ exit: 3 })
    const own = channels((channel) => channel.exit(127))
    expect((await own.ssh.run({ argv: ['sh', '-c', 'command -v nft'] }, false)).code).toBe(127)
  })

  test('sudo that wants a password: exit 3 with words; its warnings are not taken for that', async () => {
    const wants = channels((channel) => {
      channel.stderr.push('sudo: a password is required\n')
      channel.exit(1)
    })
    await expect(wants.ssh.run({ argv: ['id'] }, true)).rejects.toThrow('may not use sudo without a password')
    const warns = channels((channel) => {
      channel.stderr.push('sudo: unable to resolve host fsn\n')
      channel.exit(1)
    })
    expect((await warns.ssh.run({ argv: ['false'] }, true)).code).toBe(1)
  })

  test('no more than eight commands at once', async () => {
    let now = 0
    let most = 0
    const { ssh } = channels((channel) => {
      most = Math.max(most, ++now)
      setTimeout(() => {
        now--
        channel.exit(0)
      }, 5)
    })
    await Promise.all(Array.from({ length: 30 }, () => ssh.run({ argv: ['true'] }, false)))
    expect(most).toBeLessThanOrEqual(8)
    expect(most).toBeGreaterThan(1)
  })
})
