import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CARELESS, CARELESS_CLIENTS, CARELESS_SERVERS, readCarelessly } from './careless-readers.ts'
import { type Tally, tryRequests, tryResponse } from './one-message.ts'
import { fuzzRun, Random } from './random.ts'
import { forwardRequest, forwardResponse } from './rewriting.ts'
import { readRequests, readResponse } from './transcript.ts'

const { stackTraceLimit } = Error
// Every refusal is an error, and most of the time of a run would go into their stacks.
beforeAll(() => {
  Error.stackTraceLimit = 0
})
afterAll(() => {
  Error.stackTraceLimit = stackTraceLimit
})

function fuzz(
  what: string,
  usual: number,
  attempt: (random: Random, tally: Tally) => string | undefined,
): void {
  const { seed, count } = fuzzRun(what, usual)
  const random = new Random(seed)
  const tally = { accepted: 0, forwarded: 0 }
  for (let done = 0; done < count; done++) {
    const danger = attempt(random, tally)
    if (danger !== undefined) expect.fail(`${danger}\nseed ${seed}, input ${done}`)
  }
  // A fuzzer that is refused everything proves nothing.
  expect(tally.forwarded).toBeGreaterThan(count / 4)
}

test(
  'SEC-16a a request that we accept is one request to every careless server, as it was sent and as it goes on',
  {
    timeout: 3_600_000,
  },
  () => {
    fuzz('requests against careless servers', 20_000, tryRequests)
  },
)

test(
  'SEC-20a a response that we accept is one response to every careless client that it goes on to',
  {
    timeout: 3_600_000,
  },
  () => {
    fuzz('responses against careless clients', 15_000, tryResponse)
  },
)

const EVIL = 'GET /evil HTTP/1.1\r\nHost: a.example\r\n\r\n'
const POST = 'POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\n'
const ZERO = `${POST}Content-Length: 0\r\n`
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n`
const WHOLE = `Content-Length: ${EVIL.length}`
const LAST = '0\r\n\r\n'
const AFTER_LAST = `Content-Length: ${LAST.length + EVIL.length}`

/** For each careless server, what makes it see a request that the careful do not see. */
const WITNESSES: Readonly<Record<string, string>> = {
  'the length wins over the coding': `${CHUNKED}Content-Length: 4\r\n\r\n${EVIL.length.toString(16)}\r\n${EVIL}\r\n${LAST}`,
  'the first of length and coding wins': `${ZERO}Transfer-Encoding: chunked\r\n\r\n${EVIL}`,
  'the first of several lengths counts': `${ZERO}${WHOLE}\r\n\r\n${EVIL}`,
  'the last of several lengths counts': `${POST}${WHOLE}\r\nContent-Length: 0\r\n\r\n${EVIL}`,
  'a LF alone ends a line': `${POST}X: a\nContent-Length: 0\r\n\r\n${EVIL}`,
  'a CR alone ends a line': `${POST}X: a\rContent-Length: 0\r\n\r\n${EVIL}`,
  'white space in front of the first line is skipped': ` \r\n\t${POST}\r\n${EVIL}`,
  'a NUL in a name is skipped': `${POST}Content-\0Length: 0\r\n\r\n${EVIL}`,
  'a NUL ends a name': `${POST}Content-Length\0x: 0\r\n\r\n${EVIL}`,
  'white space before the colon is skipped': `${POST}Content-Length : 0\r\n\r\n${EVIL}`,
  'white space in front of a name is skipped': `${POST} Content-Length: 0\r\n\r\n${EVIL}`,
  'all but visible ASCII is skipped in a name': `${POST}Content-\x01Length\x80: 0\r\n\r\n${EVIL}`,
  'a name is cut at its first strange character': `${POST}Content-Length(: 0\r\n\r\n${EVIL}`,
  'an underscore in a name is a hyphen': `${POST}Transfer_Encoding: chunked\r\n${AFTER_LAST}\r\n\r\n${LAST}${EVIL}`,
  'a folded line is joined': `${POST}Transfer-Encoding:\r\n chunked\r\n${AFTER_LAST}\r\n\r\n${LAST}${EVIL}`,
  'a folded line is dropped': `${POST}X: a\r\n ${WHOLE}\r\n\r\n${EVIL}`,
  'chunked anywhere in the coding': `${POST}Transfer-Encoding: xchunked\r\n\r\n${LAST}${EVIL}`,
  'chunked with a parameter': `${POST}Transfer-Encoding: chunked;q=1\r\n\r\n${LAST}${EVIL}`,
  'chunked last in a list': `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n${LAST}${EVIL}`,
  'chunked first in a list': `${POST}Transfer-Encoding: chunked, identity\r\n\r\n${LAST}${EVIL}`,
  'chunked in lower case only': `${POST}Transfer-Encoding: CHUNKED\r\n\r\n${EVIL.length.toString(16)}\r\n${EVIL}\r\n${LAST}`,
  'any coding but identity is chunked': `${POST}Transfer-Encoding: x\r\n\r\n${LAST}${EVIL}`,
  'chunked with quotes': `${POST}Transfer-Encoding: "chunked"\r\n\r\n${LAST}${EVIL}`,
  'a length with a sign': `${POST}Content-Length: +0\r\n\r\n${EVIL}`,
  'the first of a list of lengths': `${POST}Content-Length: 0, 5\r\n\r\n${EVIL}`,
  'the last of a list of lengths': `${POST}Content-Length: 5, 0\r\n\r\n${EVIL}`,
  'the digits in front are the length': `${POST}Content-Length: 0x5\r\n\r\n${EVIL}`,
  'an octal or hexadecimal length': `${POST}Content-Length: 010\r\n\r\n12345678${EVIL}`,
  'an underscore within a length': `${POST}Content-Length: 0_1\r\n\r\n1${EVIL}`,
  'no length is the length zero': `${POST}Content-Length:\r\n\r\n${EVIL}`,
  'a chunk size with 0x': `${CHUNKED}\r\n0x0\r\n\r\n${EVIL}`,
  'a chunk size with a sign': `${CHUNKED}\r\n+0\r\n\r\n${EVIL}`,
  'a chunk size with underscores': `${CHUNKED}\r\n0_0\r\n\r\n${EVIL}`,
  'a chunk size in 32 bits': `${CHUNKED}\r\nf00000000000000\r\n\r\n${EVIL}`,
  'a chunk size with white space': `${CHUNKED}\r\n 0 \r\n\r\n${EVIL}`,
  'the digits in front are the chunk size': `${CHUNKED}\r\n0 x\r\n\r\n${EVIL}`,
  'an empty chunk size is zero': `${CHUNKED}\r\n\r\n\r\n${EVIL}`,
  'a quoted line end in an extension': `${CHUNKED}\r\n0;a="\r\n"\r\n\r\n${EVIL}`,
  'a LF alone ends a chunk extension': `${CHUNKED}\r\n0;a\n\r\n${EVIL}`,
  'two bytes of any kind end a chunk': `${CHUNKED}\r\n1\r\nxyz0\r\n\r\n${EVIL}`,
  'nothing need end a chunk': `${CHUNKED}\r\n1\r\nx0\r\n\r\n${EVIL}`,
}
const WITHOUT_WITNESS = new Set([
  'knows the grammar',
  // A peer that counts in 32 bits is deceived by more than 4 GiB only.
  'a length in 32 bits',
])

describe('what deceives a careless server', () => {
  const single = CARELESS.filter(({ name }) => !WITHOUT_WITNESS.has(name) && !name.startsWith('repairs'))

  test.for(single.map((each) => [each.name, each] as const))('SEC-16b is refused: %s', ([name, how]) => {
    const wire = WITNESSES[name]!
    const read = readCarelessly(wire, how)
    expect(read.outcome === 'message' && read.rest).toContain('evil')
    const { messages, outcome } = readRequests(wire)
    expect(messages.filter(({ trailers }) => trailers !== undefined)).toEqual([])
    expect(outcome).toMatch(/^(?:bad_|ambiguous_|unknown_|obsolete_)/)
  })

  test('SEC-16c deceives each of those that repair everything, more often than not', () => {
    const all = CARELESS.filter(({ name }) => name.startsWith('repairs'))
    for (const how of all) {
      const deceived = Object.values(WITNESSES).filter((wire) => {
        const read = readCarelessly(wire, how)
        return read.outcome === 'message' && read.rest.includes('evil')
      })
      expect(deceived.length, how.name).toBeGreaterThan(Object.keys(WITNESSES).length / 2)
    }
  })
})

describe('what goes on', () => {
  test('SEC-17a is written anew: no chunk extension, no framing in trailers, one Host and one framing field of our own', () => {
    const sent =
      'POST http://A.example:80/x HTTP/1.1\r\nHost: b.example\r\nConnection: Host, Transfer-Encoding, Content-Length\r\n' +
      'Transfer-Encoding: chunked\r\n\r\n003;a="b"\r\nabc\r\n2;x\r\nde\r\n0;y\r\nHost: c\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n'
    const [message] = readRequests(sent).messages
    expect(forwardRequest(message!)!.toString('latin1')).toBe(
      'POST /x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nVia: 1.1 sallyport\r\n\r\n' +
        '5\r\nabcde\r\n0\r\nX: 1\r\n\r\n',
    )
  })

  test('SEC-17b a server that overlooks the content of a GET is told that nothing follows, and would see a request otherwise', () => {
    const overlooking = CARELESS_SERVERS.find(({ ignoresContentOf }) => ignoresContentOf !== undefined)!
    for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE']) {
      for (const content of [
        `${WHOLE}\r\n\r\n${EVIL}`,
        `Transfer-Encoding: chunked\r\n\r\n${EVIL.length.toString(16)}\r\n${EVIL}\r\n${LAST}`,
      ]) {
        const sent = `${method} http://a.example/ HTTP/1.1\r\nHost: a.example\r\n${content}`
        const read = readCarelessly(sent, overlooking)
        expect(read.outcome === 'message' && read.rest, method).toContain('evil')
        const [message] = readRequests(sent).messages
        const written = forwardRequest(message!)!.toString('latin1')
        expect(written, method).toContain('\r\nConnection: close\r\n')
        expect(readCarelessly(written, overlooking), method).toMatchObject({ outcome: 'message', rest: '' })
      }
    }
  })
})

describe('what deceives a careless client', () => {
  const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'

  test.for([
    ['CL.TE', `Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${LAST}${ANSWER}`],
    ['CL.CL', `Content-Length: 0\r\nContent-Length: ${ANSWER.length}\r\n\r\n${ANSWER}`],
    ['CL sign', `Content-Length: +0\r\n\r\n${ANSWER}`],
    ['CL list', `Content-Length: 0, 0\r\n\r\n${ANSWER}`],
    ['TE list', `Transfer-Encoding: gzip, chunked\r\n\r\n${LAST}${ANSWER}`],
    ['a fold', `X: a\r\n Content-Length: 0\r\n\r\n${ANSWER}`],
    ['a LF', `X: a\nContent-Length: 0\r\n\r\n${ANSWER}`],
    ['a CR', `X: a\rContent-Length: 0\r\n\r\n${ANSWER}`],
    ['a NUL', `Content-Length\0: 0\r\n\r\n${ANSWER}`],
    ['a space before the colon', `Content-Length : 0\r\n\r\n${ANSWER}`],
    ['an underscore', `Content_Length: 0\r\n\r\n${ANSWER}`],
    ['a chunk size with 0x', `Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n${ANSWER}`],
  ])('SEC-20b is refused: %s', ([, rest]) => {
    const wire = `HTTP/1.1 200 OK\r\n${rest}`
    const deceived = CARELESS_CLIENTS.filter((how) => {
      const read = readCarelessly(wire, how, { method: 'GET' })
      return read.outcome === 'message' && read.rest.includes('evil')
    })
    expect(deceived).not.toEqual([])
    const { messages, outcome } = readResponse(wire)
    expect(messages.filter(({ trailers }) => trailers !== undefined)).toEqual([])
    expect(outcome).toMatch(/^(?:bad_|ambiguous_|unknown_|obsolete_)/)
  })

  test('SEC-20c chunked in other letters is understood from an origin and goes on in small ones', () => {
    const { messages } = readResponse(
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n${LAST}`,
    )
    expect(forwardResponse(messages[0]!, [], '1.1').toString('latin1')).toBe(
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nVia: 1.1 sallyport\r\n\r\n1\r\nx\r\n${LAST}`,
    )
  })
})
