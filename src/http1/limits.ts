// http1: the HTTP/1.1 codec (RFC 9112), sans-I/O: bytes in, events out, bytes out. What lives here: limits, the strict
// grammar of heads and bodies, one reader for each side, the writer. What never does: a socket, a timer, a clock, a
// policy, a decision about what to forward. Nothing is repaired here: a message is well-formed, or it is refused,
// because any leniency is one half of somebody's request smuggling.

/** Bounds on what a peer may make us hold or do for one message. Whole numbers, all at least 1. */
export interface MessageLimits {
  /** Request line or status line with all field lines, line ends included. Beyond it: 431, or 414 within the request line. */
  readonly headBytes: number
  /** The request target alone. Beyond it: 414. */
  readonly targetBytes: number
  /** Field lines of a head, and apart from them field lines of a trailer section. Beyond it: 431. */
  readonly fieldCount: number
  /** Chunk extensions, summed over one whole body: they are dropped, so they are pure cost (compare CVE-2024-22019). */
  readonly chunkExtensionBytes: number
  /** A whole trailer section, line ends included. */
  readonly trailerBytes: number
  /** Interim (1xx) responses before one final response. */
  readonly interimCount: number
}

/** What serves real browsers and agents with room to spare. */
export const DEFAULT_MESSAGE_LIMITS: MessageLimits = {
  headBytes: 16_384,
  targetBytes: 8_192,
  fieldCount: 100,
  chunkExtensionBytes: 1_024,
  trailerBytes: 8_192,
  interimCount: 16,
}
