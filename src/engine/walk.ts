/**
 * Walks a plan in dependency order, everything that may run side by side at once: members of a vault are chains of
 * their own until they meet in the filesystem.
 */

interface Node {
  readonly name: string
  readonly needs: readonly string[]
}

/**
 * Visits every node after all nodes it needs (or, downwards, after all nodes that need it). A node whose visit
 * returns false, and everything waiting for it, is not passed; the others go on.
 * @returns names of the nodes that were passed, in the order in which they finished
 */
export const walk = async <N extends Node>(
  nodes: readonly N[],
  direction: 'up' | 'down',
  visit: (node: N) => Promise<boolean>,
): Promise<string[]> => {
  const passed: string[] = []
  const visits = new Map<string, Promise<boolean>>()
  const before = (node: N): readonly N[] =>
    direction === 'up'
      ? nodes.filter((other) => node.needs.includes(other.name))
      : nodes.filter((other) => other.needs.includes(node.name))
  const start = (node: N): Promise<boolean> => {
    const known = visits.get(node.name)
    if (known !== undefined) return known
    const visiting = (async () => {
      const ready = await Promise.all(before(node).map(start))
      if (ready.includes(false) || !(await visit(node))) return false
      passed.push(node.name)
      return true
    })()
    visits.set(node.name, visiting)
    return visiting
  }
  await Promise.all((direction === 'up' ? nodes : [...nodes].reverse()).map(start))
  return passed
}
