/**
 * All of them at once, and all of them to their end before the first failure is thrown: what comes next may close the
 * very device that the slower one is still reading.
 */
export const together = async <T>(works: readonly Promise<T>[]): Promise<T[]> => {
  const results = await Promise.allSettled(works)
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}
