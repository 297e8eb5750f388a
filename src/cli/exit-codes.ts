/** What the process ends with. In `--help`, in scripts, and nowhere else to be invented. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  config: 3,
  unreachable: 4,
  deny: 10,
  hold: 11,
} as const

/** Ends a command with a message for people on stderr and a code for scripts. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed'
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}
