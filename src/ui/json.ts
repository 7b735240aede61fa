/**
 * One JSON object on one line of stdout. Much of it comes from servers and tools: what is invisible, and a terminal
 * might act on, is written as \uXXXX, which every JSON reader takes for the same.
 */
export const jsonLine = (value: unknown): string =>
  `${JSON.stringify(value).replace(/[\p{C}\u2028\u2029]/gu, spelled)}\n`

const spelled = (character: string): string =>
  character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('')
