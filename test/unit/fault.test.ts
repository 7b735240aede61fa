import { expect, test } from 'vitest'
import { Exit, Fault } from '../../src/fault.ts'

test('of a tool that failed its first error is told, else its last line; the command itself is no reason', () => {
  const said = (detail?: string) => new Fault(Exit.missing, 'btrfs failed', detail ? { detail } : {}).said
  const balance =
    "$ btrfs balance start /m\nERROR: error during balancing '/m': Read-only file system\nThere may be more info in syslog\n"
  expect(said(balance)).toBe("ERROR: error during balancing '/m': Read-only file system")
  expect(said('$ cryptsetup open x\nDevice x is in use.\n')).toBe('Device x is in use.')
  expect(said('$ true\n')).toBe('')
  expect(said()).toBe('')
})
