import type { World } from '../cli/world.ts'
import { Exit, Fault } from '../fault.ts'
import { Secret } from '../host/secret.ts'

/**
 * Questions to a person. A question is never a guard by itself: it is asked only where stdin and stderr are
 * terminals, elsewhere the missing answer is a usage error that names the flag to give. Questions go to stderr, so
 * that stdout carries nothing but results. The only file that knows inquirer.
 */

export type AskWorld = Pick<World, 'stdin' | 'stderr' | 'signal'>

/** What every question needs besides its own options. */
export interface Question {
  readonly message: string
  /** The flag that gives the answer without a terminal: "--at DIR". */
  readonly flag: string
}

/** True when it can be used, else what is wrong with it, in words. */
export type Check = (answer: string) => true | string | Promise<true | string>

export interface Choice<T> {
  readonly value: T
  readonly label: string
  /** One line of explanation, shown while the choice is highlighted. */
  readonly about?: string
}

/** Whether anybody can be asked. */
export const canAsk = (world: Pick<AskWorld, 'stdin' | 'stderr'>): boolean =>
  world.stdin.isTTY === true && world.stderr.isTTY === true

/** A line of text. @throws Fault 2 without a terminal, 130 on Ctrl-C. */
export const input = (
  world: AskWorld,
  question: Question & { initial?: string; check?: Check },
): Promise<string> =>
  ask<string>(world, question, {
    type: 'input',
    default: question.initial,
    filter: (text: string) => text.trim(),
    ...(question.check ? { validate: (text: string) => question.check?.(text.trim()) } : {}),
  })

/** One of several. @throws Fault 2 without a terminal, 130 on Ctrl-C. */
export const select = <T>(
  world: AskWorld,
  question: Question & { choices: readonly Choice<T>[]; initial?: T },
): Promise<T> =>
  ask<T>(world, question, {
    type: 'select',
    default: question.initial,
    choices: question.choices.map((choice) => ({
      name: choice.label,
      value: choice.value,
      ...(choice.about ? { description: choice.about } : {}),
    })),
  })

/** Yes or no. @throws Fault 2 without a terminal, 130 on Ctrl-C. */
export const confirm = (world: AskWorld, question: Question & { initial?: boolean }): Promise<boolean> =>
  ask<boolean>(world, question, { type: 'confirm', default: question.initial ?? false })

/**
 * A passphrase, nothing of it shown. The caller wipes the Secret.
 * @throws Fault 2 without a terminal, 130 on Ctrl-C.
 */
export const password = async (world: AskWorld, question: Question): Promise<Secret> =>
  new Secret(
    Buffer.from(
      await ask<string>(world, question, {
        type: 'password',
        toggleMask: false,
        validate: (text: string) => text.length > 0 || 'an empty passphrase protects nothing',
      }),
    ),
  )

/** How often two different answers are forgiven. */
const passwordTries = 3

/**
 * A new passphrase, typed twice. Too short a one is refused by `minimum` (characters).
 * @throws Fault 2 without a terminal, 9 when the answers keep differing, 130 on Ctrl-C.
 */
export const newPassword = async (
  world: AskWorld,
  question: Question & { minimum?: number },
): Promise<Secret> => {
  const minimum = question.minimum ?? 1
  for (let attempt = 0; attempt < passwordTries; attempt++) {
    const first = await ask<string>(world, question, {
      type: 'password',
      toggleMask: false,
      validate: (text: string) => text.length >= minimum || `at least ${minimum} characters`,
    })
    const again = await password(world, { ...question, message: 'the same once more' })
    const kept = new Secret(Buffer.from(first))
    const same = Buffer.compare(kept.reveal(), again.reveal()) === 0
    again.wipe()
    if (same) return kept
    kept.wipe()
    world.stderr.write('these were two different ones; again\n')
  }
  throw new Fault(Exit.secret, 'no two answers were the same', { stands: 'nothing was changed' })
}

/**
 * The grave kind of confirmation: the name of the vault, typed out.
 * @throws Fault 2 without a terminal, 130 on Ctrl-C.
 */
export const typedName = async (world: AskWorld, name: string, consequence: string): Promise<void> => {
  await input(world, {
    message: `${consequence} Type the name of the vault to go on:`,
    flag: `--confirm ${name}`,
    check: (text) => text === name || `this is not "${name}"; Ctrl-C leaves everything as it is`,
  })
}

/** One inquirer question on this world's terminal. */
const ask = async <T>(world: AskWorld, question: Question, own: Record<string, unknown>): Promise<T> => {
  if (!canAsk(world)) {
    throw new Fault(Exit.usage, `there is no terminal to ask on: ${plainMessage(question.message)}`, {
      stands: 'nothing was changed',
      next: `the same command with ${question.flag}`,
    })
  }
  const { default: inquirer } = await import('inquirer')
  const ended = inputEnd(world)
  const signal = AbortSignal.any([world.signal, ended.signal])
  try {
    const prompt = inquirer.createPromptModule({
      input: world.stdin as NodeJS.ReadStream,
      output: world.stderr as NodeJS.WriteStream,
      signal,
    } as Parameters<typeof inquirer.createPromptModule>[0])
    const asked = { name: 'answer', message: question.message, ...own }
    const { answer } = (await prompt([asked] as never)) as { answer: T }
    return answer
  } catch (error) {
    const name = error instanceof Error ? error.name : ''
    if (name !== 'ExitPromptError' && name !== 'AbortPromptError') throw error
    throw new Fault(Exit.interrupted, 'stopped at a question', {
      stands: 'nothing was changed',
      cause: error,
    })
  } finally {
    ended.forget()
  }
}

const plainMessage = (message: string): string => message.replace(/[:?]\s*$/, '')

/**
 * Notices that nobody will answer any more. readline closes itself on Ctrl-D or a lost terminal without settling
 * inquirer's promise, and Node then leaves with exit 13: closing shows as a pause of an input that is not raw.
 */
const inputEnd = (world: AskWorld): { signal: AbortSignal; forget(): void } => {
  const controller = new AbortController()
  const stdin = world.stdin as NodeJS.ReadStream
  let over = false
  const gone = (): void => controller.abort()
  const paused = (): void => {
    setImmediate(() => {
      if (!over && !stdin.isRaw) controller.abort()
    })
  }
  stdin.on('pause', paused)
  for (const event of ['end', 'close', 'error'] as const) stdin.on(event, gone)
  return {
    signal: controller.signal,
    forget: () => {
      over = true
      stdin.off('pause', paused)
      for (const event of ['end', 'close', 'error'] as const) stdin.off(event, gone)
    },
  }
}
