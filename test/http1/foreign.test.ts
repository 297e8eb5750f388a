import { describe, expect, test } from 'vitest'
import { DEFAULT_MESSAGE_LIMITS } from '../../src/http1/limits.ts'
import { ProtocolError } from '../../src/http1/protocol-error.ts'
import { RequestReader } from '../../src/http1/request-reader.ts'

function feed(bytes: Buffer): ProtocolError | undefined {
  const reader = new RequestReader(DEFAULT_MESSAGE_LIMITS)
  try {
    reader.push(bytes)
    reader.next()
    return undefined
  } catch (error) {
    if (error instanceof ProtocolError) return error
    throw error
  }
}

describe('a peer that does not speak HTTP', () => {
  test.each([
    ['the banner of SSH', Buffer.from('SSH-2.0-OpenSSH_9.6\r\n')],
    ['a TLS record', Buffer.from([22, 3, 1])],
    ['a SOCKS greeting', Buffer.from([5, 1, 0])],
    ['a first line without a version', Buffer.from('GET /\r\n')],
    ['two empty lines', Buffer.from('\r\n\r')],
    ['an empty line and then no token', Buffer.from('\r\n\u0000')],
  ])('HTTP1-200 is refused before the end of a head: %s', (_, bytes) => {
    expect(feed(bytes)?.code).toBe('bad_request_line')
  })

  test.each(['G', 'GET', 'GET / HTT', 'GET / HTTP/1.1\r\nHo', '\r', '\r\n', '\r\nGE', ''])(
    'HTTP1-201 what may become a request is waited for: %j',
    (text) => {
      expect(feed(Buffer.from(text))).toBeUndefined()
    },
  )
})
