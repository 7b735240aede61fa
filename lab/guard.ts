/** Labs die with their owner: on Ctrl-C, SIGTERM, SIGHUP and at exit, what this process started is torn down. */
import { tearDown } from './teardown.ts'

const mine = new Set<string>()
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
let armed = false

const tearDownAll = (): void => {
  for (const id of mine) tearDown(id)
  mine.clear()
}

const onSignal = (name: NodeJS.Signals): void => {
  tearDownAll()
  // Whoever else listens for this signal decides how to end; alone, we end as the signal would have.
  if (process.listenerCount(name) > 1) return
  for (const other of signals) process.removeListener(other, onSignal)
  process.kill(process.pid, name)
}

/** From now on lab `id` is torn down when this process ends. */
export const guard = (id: string): void => {
  mine.add(id)
  if (armed) return
  armed = true
  for (const name of signals) process.on(name, onSignal)
  process.on('exit', tearDownAll)
}

/** Lab `id` is no longer this process's business. */
export const release = (id: string): void => {
  mine.delete(id)
  if (mine.size > 0 || !armed) return
  armed = false
  for (const name of signals) process.removeListener(name, onSignal)
  process.removeListener('exit', tearDownAll)
}
