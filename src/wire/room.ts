import { readFileSync } from 'node:fs'

/**
 * Descriptors that connections of clients and to origins leave to everything else: the operator's own connections, look-ups,
 * the record, the store, the exporter, and Node itself.
 */
const RESERVED = 64

/**
 * How many connections there may be. A process that has run out of descriptors can accept nobody, its operator neither,
 * so one that is too many is refused before that.
 */
export class Room {
  readonly most: number
  /** Closes a connection that nobody needs now, and says whether there was one. */
  spare: () => boolean = () => false
  #open = 0

  constructor(most: number) {
    this.most = most
  }

  /** Whether one more may be opened. */
  hasSeat(): boolean {
    return this.#open < this.most || this.spare()
  }

  enter(): void {
    this.#open++
  }

  leave(): void {
    this.#open--
  }
}

/** As many connections as the limit of open files allows; without a bound where the system tells no limit. */
export function roomForConnections(): Room {
  return new Room(Math.max(2, openFilesLimit() - RESERVED))
}

/** The soft limit, which Node has raised to the hard one when it started. */
function openFilesLimit(): number {
  try {
    const files = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    return Number(files?.[1] ?? Number.POSITIVE_INFINITY)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
