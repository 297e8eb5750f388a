/**
 * What can be wrong with a message: one row a code, with the status for the client that sent such a request
 * (RFC 9110 §15.5). An origin's violation is always a 502 to the client, whatever the row says.
 */
export const PROTOCOL_ERRORS = {
  bad_request_line: 400,
  bad_status_line: 400,
  bad_version: 505,
  target_too_long: 414,
  head_too_large: 431,
  too_many_fields: 431,
  bad_line_ending: 400,
  obsolete_folding: 400,
  bad_field: 400,
  bad_host: 400,
  bad_content_length: 400,
  bad_transfer_encoding: 400,
  unknown_transfer_coding: 501,
  ambiguous_framing: 400,
  content_not_permitted: 400,
  bad_chunk: 400,
  chunk_extension_too_large: 400,
  trailer_too_large: 431,
  too_many_interim_responses: 400,
  unasked_upgrade: 400,
  unexpected_response: 400,
  unexpected_eof: 400,
} as const satisfies Record<string, 400 | 414 | 431 | 501 | 505>

export type ProtocolErrorCode = keyof typeof PROTOCOL_ERRORS

/**
 * A message that is malformed, ambiguous or beyond a limit. The connection cannot be used any further: where the message
 * ends is not known. `problem` is for people and never repeats what the peer sent.
 */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
  readonly code: ProtocolErrorCode
  readonly status: 400 | 414 | 431 | 501 | 505
  readonly problem: string
  constructor(code: ProtocolErrorCode, problem: string) {
    super(problem)
    this.code = code
    this.status = PROTOCOL_ERRORS[code]
    this.problem = problem
  }
}
