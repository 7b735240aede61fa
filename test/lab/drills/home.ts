import { expect } from 'vitest'
import type { Lab } from '../../../lab/index.ts'

/** What is done to the files of this machine, and what a person does about it. */

/** Changes the metadata of a LUKS2 file, both copies, with right checksums. */
export const plant = async (lab: Lab, file: string, patch: object): Promise<void> => {
  const [node = 'node'] = lab.client.cloudvaultArgv([])
  const editor = `${lab.client.repository}/test/lab/drivers/luks2-edit.mjs`
  await lab.client.run([node, editor, file, JSON.stringify(patch)])
}

export interface Measured {
  readonly code: number
  readonly stderr: string
  readonly seconds: number
  /** The most that one process of it held in memory, cloudvault itself or a program that it ran. */
  readonly mebibytes: number
}

const measure = `
import json, resource, subprocess, sys, time
began = time.monotonic()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"code": done.returncode, "stderr": done.stderr, "seconds": time.monotonic() - began, "mebibytes": used.ru_maxrss / 1024}))
`

/** Runs a verb and looks at its time and memory. */
export const measured = async (lab: Lab, args: readonly string[]): Promise<Measured> => {
  const words = ['python3', '-c', measure, ...lab.client.cloudvaultArgv(args)]
  return JSON.parse((await lab.client.run(words, { deadlineMs: 300_000 })).stdout) as Measured
}

/** Types the `restore-kit` command exactly as an error printed it, on a terminal, and answers its question. */
export const asPrinted = async (lab: Lab, said: string): Promise<void> => {
  const [, command = ''] = /cloudvault (restore-kit \S+ --only \S+)/.exec(said) ?? []
  expect(command).not.toBe('')
  const running = lab.client.start(lab.client.cloudvaultArgv(command.split(' ')), { tty: true })
  let over = false
  const ended = running.wait().finally(() => {
    over = true
  })
  for (let looks = 0; looks < 600 && !over; looks++) {
    if (running.output().stdout.includes('will be replaced')) break // the rest is folded
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  if (!over) running.write('photos\r')
  const { code, stdout } = await ended
  expect(`${code} ${stdout}`).toMatch(/^0 [\s\S]*next: cloudvault up photos/)
}
