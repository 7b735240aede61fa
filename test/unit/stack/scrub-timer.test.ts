import { expect, test } from 'vitest'
import { describe as line } from '../../../src/engine/action.ts'
import { noTimerStep, parseElapse, timerStep } from '../../../src/stack/scrub-timer.ts'
import { scriptedHost } from '../support/scripted-host.ts'

/** No unit of this name is on any machine that runs the tests. */
const vault = 'nobody-has-this'
const step = (rhythm: 'weekly' | 'monthly' | 'off') =>
  timerStep(scriptedHost('here', []), { vault, rhythm, scrub: ['cloudvault', 'scrub', '/etc/100%/x.yaml'] })

test('is absent, and made of two files and an enabled timer', async () => {
  expect(await step('monthly').probe()).toEqual({ is: 'absent' })
  const lines = step('monthly').up.map(line)
  expect(lines).toEqual([
    'here: write /etc/systemd/system/cv-nobody-has-this-scrub.service',
    'here: write /etc/systemd/system/cloudvault-scrub-nobody-has-this.timer',
    'here: systemctl daemon-reload',
    'here: systemctl --quiet enable cloudvault-scrub-nobody-has-this.timer',
    'here: systemctl restart cloudvault-scrub-nobody-has-this.timer',
  ])
})

test('when the next one begins, as systemd 252 says it', () => {
  expect(parseElapse('Sun 2026-12-06 03:56:23 UTC\n')?.toISOString()).toBe('2026-12-06T03:56:23.000Z')
  for (const text of ['', 'n/a', 'Sun 2026-12-06 03:56:23 CET']) expect(parseElapse(text)).toBeNull()
})

test('off is no timer; one that is not there needs nothing', async () => {
  expect(await step('off').probe()).toEqual({ is: 'present', note: 'off' })
  expect(await noTimerStep(scriptedHost('here', []), vault).probe()).toEqual({ is: 'absent' })
  const gone = noTimerStep(scriptedHost('here', []), vault).down.map(line)
  expect(gone.join('\n')).toContain('disable --now cloudvault-scrub-nobody-has-this.timer')
  expect(gone.join('\n')).toContain('rm /var/lib/systemd/timers/stamp-cloudvault-scrub-nobody-has-this.timer')
})
