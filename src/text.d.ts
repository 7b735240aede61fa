/** A shell script as text: esbuild's text loader in the bundle, a one-line plugin under vitest. */
declare module '*.sh' {
  const text: string
  export default text
}
