// Changes the JSON of a LUKS2 header as somebody would who knows how it is stored: both copies, with right checksums.
//   node luks2-edit.mjs FILE '{"segments": {"0": {"encryption": "cipher_null-ecb"}}}'
// The second word is a merge patch (RFC 7396); without one the JSON is printed.
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'

const [file, patch] = process.argv.slice(2)
const binaryBytes = 4096
const checksumAt = 448
const checksumBytes = 64

const merge = (target, change) => {
  if (typeof change !== 'object' || change === null || Array.isArray(change)) return change
  const merged = typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(change))
    if (value === null) delete merged[key]
    else merged[key] = merge(merged[key], value)
  return merged
}

const fd = openSync(file, patch === undefined ? 'r' : 'r+')
const head = Buffer.alloc(binaryBytes)
readSync(fd, head, 0, binaryBytes, 0)
if (head.toString('latin1', 0, 4) !== 'LUKS') throw new Error(`${file} has no LUKS header`)
const size = Number(head.readBigUInt64BE(8))

for (const at of [0, size]) {
  const copy = Buffer.alloc(size)
  readSync(fd, copy, 0, size, at)
  const text = copy.toString('utf8', binaryBytes).replace(/\0[\s\S]*$/, '')
  if (patch === undefined) {
    console.log(text)
    break
  }
  copy.fill(0, binaryBytes)
  copy.write(JSON.stringify(merge(JSON.parse(text), JSON.parse(patch))), binaryBytes)
  copy.fill(0, checksumAt, checksumAt + checksumBytes)
  createHash('sha256').update(copy).digest().copy(copy, checksumAt)
  writeSync(fd, copy, 0, size, at)
}
closeSync(fd)
