/**
 * Is what the server offers the disk we expect? Asked before the kernel gets a socket, on every reconnect too:
 * the kernel itself compares neither size nor flags when a socket is replaced.
 */
import type { Offer } from './handshake.ts'

export interface Expectation {
  /** Exact size of the member in bytes, one of these; none when nothing is known yet. */
  readonly sizes?: readonly number[]
  /** The size of one request in bytes; default 4096. */
  readonly blockSizeBytes?: number
}

/** Without this much in one request the kernel's larger ones would fail with an I/O error (its default cap is 1280 KiB). */
const largestRequest = 1280 * 1024

/** In words what differs from a writable disk of the expected size that honours flush and FUA; null when nothing does. */
export function checkOffer(offer: Offer, expectation: Expectation = {}): string | null {
  const block = expectation.blockSizeBytes ?? 4096
  const differences: string[] = []
  const { sizes = [] } = expectation
  if (sizes.length > 0 && !sizes.some((size) => offer.sizeBytes === BigInt(size)))
    differences.push(`its size is ${offer.sizeBytes} bytes instead of ${sizes.join(' or ')}`)
  if (offer.sizeBytes % BigInt(block) !== 0n)
    differences.push(`its size of ${offer.sizeBytes} bytes is not a multiple of ${block}`)
  if (offer.readOnly) differences.push('it is read-only')
  if (!offer.canFlush) differences.push('it offers no flush, so fsync would promise nothing')
  if (!offer.canFua) differences.push('it offers no FUA (forced unit access)')
  if (offer.minimumBlock !== undefined && offer.minimumBlock > block)
    differences.push(`it accepts no request smaller than ${offer.minimumBlock} bytes`)
  if (offer.maximumBlock !== undefined && offer.maximumBlock < largestRequest)
    differences.push(`it accepts no request larger than ${offer.maximumBlock} bytes`)
  return differences.length > 0 ? differences.join('; ') : null
}
