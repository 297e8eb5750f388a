import { expect, test } from 'vitest'
import type { ResponseHead } from '../../src/http1/response-reader.ts'
import { readCarelessly, REPAIRING, Wire } from './careless-readers.ts'
import { mutate, randomResponse } from './grammar.ts'
import { nodeReadsResponses, type NodeTranscript, stumblesOverTrailers } from './node-parser.ts'
import { fuzzRun, Random } from './random.ts'
import { rewriteResponse } from './rewriting.ts'
import { bytesOf, fieldLines, readResponse, type Told, type Transcript } from './transcript.ts'

const BATCH = 250

/** What we accept as the answer to one request, Node must accept as the same; we may refuse more. */
function difference(ours: Transcript<ResponseHead>, node: NodeTranscript): string | undefined {
  const [message] = ours.messages
  if (message === undefined) return undefined
  const { trailers } = message
  const [told] = node.messages
  // Node takes `Connection: close`, and Proxy-Connection, in an interim response for the end of everything.
  const closed = ours.interim.some(
    ({ keepAlive, fields }) => !keepAlive || fields.some(({ key }) => key === 'proxy-connection'),
  )
  if (told === undefined && closed && node.error === 'HPE_CLOSED_CONNECTION') return undefined
  if (told === undefined) return `the response is not there for Node (${node.error})`
  const { head } = message
  // RFC 9110 section 8.6: we drop the framing fields of a 204 and of a 101.
  const framing = /^(?:content-length|transfer-encoding):/i
  const bodiless = head.status === 204 || head.status === 101
  const nodeFields = bodiless ? told.fields.filter((line) => !framing.test(line)) : told.fields
  const ourHead = [head.status, head.reason, head.version, ...fieldLines(head.fields)]
  const nodeHead = [told.status, told.reason, told.version, ...nodeFields]
  if (JSON.stringify(ourHead) !== JSON.stringify(nodeHead)) return 'another head for Node'
  if (trailers === undefined) return told.body.startsWith(message.body) ? undefined : 'other content for Node'
  if (message.body !== told.body) return 'other content for Node'
  if (head.framing.kind === 'chunked' && stumblesOverTrailers(told, node)) return undefined
  if (!told.complete) return `the response is not whole for Node (${node.error})`
  for (const line of fieldLines(trailers)) {
    if (!told.trailers.includes(line)) return 'other trailers for Node'
  }
  return undefined
}

function smuggled(message: Told<ResponseHead>, method: string): string | undefined {
  const { head } = message
  if (head.status === 101) return undefined
  const wire = rewriteResponse(message)
  const again = readResponse(wire, { method }).messages[0]
  if (again?.body !== message.body || again.trailers === undefined) return 'we read it otherwise ourselves'
  const text = new Wire(wire.toString('latin1'))
  for (const how of REPAIRING) {
    const read = readCarelessly(text, how, { method })
    if (read.outcome !== 'message') return `no message (${read.outcome}): ${how.name}`
    if (read.rest !== '') return `a second response: ${how.name}`
    if (read.body !== message.body) return `other content: ${how.name}`
    if (read.fieldCount !== head.fields.length) return `other fields: ${how.name}`
  }
  return undefined
}

test(
  'HTTP1-71 responses that we accept, Node accepts as the same; written out again they are one message to anybody',
  { timeout: 3_600_000 },
  async () => {
    const { seed, count } = fuzzRun('responses against Node', 8_000)
    const random = new Random(seed)
    let accepted = 0
    for (let done = 0; done < count; done += BATCH) {
      const asks = random.many(BATCH, BATCH, () => ({
        wire: bytesOf(mutate(random, randomResponse(random))),
        method: random.chance(0.15) ? 'HEAD' : 'GET',
      }))
      const told = await nodeReadsResponses(asks)
      for (const [i, { wire, method }] of asks.entries()) {
        const pieces = random.many(0, 12, () => random.int(60))
        const ours = readResponse(wire, { method, pieces, scribble: true, upgradeAsked: true })
        const whole = ours.messages.filter(({ trailers }) => trailers !== undefined)
        accepted += whole.length
        const problem =
          difference(ours, told[i]!) ??
          whole.map((each) => smuggled(each, method)).find((each) => each !== undefined)
        if (problem !== undefined)
          expect.fail(
            `${problem}, seed ${seed}: ${method} ${JSON.stringify(wire.toString('latin1'))}\nours: ${JSON.stringify(ours)}\nNode: ${JSON.stringify(told[i])}`,
          )
      }
    }
    // A fuzzer that is refused everything proves nothing.
    expect(accepted).toBeGreaterThan(count / 4)
  },
)
