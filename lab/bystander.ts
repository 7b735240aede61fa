/** A third host on the same network: what it can reach, any stranger can. It runs this machine's programs. */
import type { RunOptions } from './client.ts'
import { exec, type Result } from './exec.ts'
import { machine, net } from './names.ts'
import type { LabState } from './state.ts'

export type Reach = 'open' | 'refused' | 'silent'

export class Bystander {
  readonly name = 'bystander'
  readonly address: string = net.bystander
  #state: LabState

  constructor(state: LabState) {
    this.#state = state
  }

  /** Runs a program of this machine in the bystander's network namespace. */
  run(argv: readonly string[] | string, options: RunOptions = {}): Promise<Result> {
    const words = typeof argv === 'string' ? ['sh', '-c', argv] : argv
    return exec(['ip', 'netns', 'exec', machine(this.#state.id, this.name), ...words], options)
  }

  /** What a TCP connection to a port meets, and the first bytes the far side says by itself (NBDMAGIC, SSH-2.0…). */
  async reach(address: string, port: number): Promise<{ reach: Reach; says: string }> {
    const script = `exec 2>&1 3<>/dev/tcp/${address}/${port} || exit 7; IFS= LC_ALL=C read -r -t 2 -N 8 text <&3; printf %s "$text"`
    const { code, stdout } = await this.run(['timeout', '4', 'bash', '-c', script], { allowFail: true })
    if (code === 124 || /timed out|No route|unreachable/.test(stdout)) return { reach: 'silent', says: '' }
    return code === 7 || /refused/.test(stdout)
      ? { reach: 'refused', says: '' }
      : { reach: 'open', says: stdout }
  }
}
