/** The lab's API: what the demo, the tests, the bench and `cloudvault lab` use. */
export { LabError, type Result } from './exec.ts'
export { attachLab, type Lab, type LabOptions, runningLabs, startLab, takeDown } from './lab.ts'
export { missing } from './prerequisites.ts'
export type { LabServer } from './server.ts'
export type { Seen } from './sniffer.ts'
export type { LabState } from './state.ts'
export { remains, sweep } from './teardown.ts'
