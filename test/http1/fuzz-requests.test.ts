import { METHODS } from 'node:http'
import { expect, test } from 'vitest'
import type { RequestHead } from '../../src/http1/request-reader.ts'
import { readCarelessly, REPAIRING, Wire } from './careless-readers.ts'
import { mutate, randomRequest } from './grammar.ts'
import { nodeReadsRequests, type NodeTranscript, stopsNode, stumblesOverTrailers } from './node-parser.ts'
import { fuzzRun, Random } from './random.ts'
import { fieldsForRewriting, rewriteRequest } from './rewriting.ts'
import { bytesOf, fieldLines, readRequests, type Told, type Transcript } from './transcript.ts'

const BATCH = 250
const KNOWN_METHODS: ReadonlySet<string> = new Set(METHODS)

/**
 * What we accept, Node must accept as the same messages; we may refuse more. Returns what differs. Node knows a fixed list of
 * methods and judges the form of a target, both of which the codec leaves to its caller: only there may Node refuse more.
 */
function difference(ours: Transcript<RequestHead>, node: NodeTranscript): string | undefined {
  const refused = !['idle', 'partial', 'released'].includes(ours.outcome)
  for (const [i, message] of ours.messages.entries()) {
    const told = node.messages[i]
    if (told === undefined) {
      if (node.error === 'HPE_INVALID_URL') return undefined
      if (node.error === 'HPE_INVALID_METHOD' && !KNOWN_METHODS.has(message.head.method)) return undefined
      return `message ${i} is not there for Node (${node.error})`
    }
    const { head } = message
    const ourHead = [head.method, head.target, head.version, ...fieldLines(head.fields)]
    const nodeHead = [told.method, told.target, told.version, ...told.fields]
    if (JSON.stringify(ourHead) !== JSON.stringify(nodeHead)) return `message ${i} has another head for Node`
    if (refused && message.trailers === undefined) {
      // What we refuse in the middle of content, Node may read on.
      if (!told.body.startsWith(message.body)) return `message ${i} has other content for Node`
      continue
    }
    if (message.body !== told.body) return `message ${i} has other content for Node`
    if (head.framing.kind === 'chunked' && stumblesOverTrailers(told, node)) return undefined
    if ((message.trailers !== undefined) !== told.complete) return `message ${i} ends elsewhere for Node`
    const nodeTrailers = [...told.trailers]
    for (const line of fieldLines(message.trailers ?? [])) {
      const found = nodeTrailers.indexOf(line)
      if (found === -1) return `message ${i} has other trailers for Node`
      nodeTrailers.splice(found, 1)
    }
    if (stopsNode(told)) return undefined
  }
  if (refused) return undefined
  const tunnel = ours.messages.at(-1)?.head.method === 'CONNECT'
  // Where we close, Node may read on: told both `keep-alive` and `close` by HTTP/1.0, it takes what is said last.
  if (ours.outcome === 'released' && !tunnel) return undefined
  if (node.messages.length !== ours.messages.length) return 'Node sees more messages'
  if (ours.outcome === 'released') return node.rest === ours.rest ? undefined : 'other bytes for the tunnel'
  // An unfinished line is judged once it is whole, and Node may know before that it is bad.
  if (ours.outcome === 'partial') return undefined
  return node.error === undefined ? undefined : `Node refuses what follows (${node.error})`
}

/** Written out again, a message must be exactly one message to ourselves and to every careless server. */
function smuggled(message: Told<RequestHead>): string | undefined {
  const wire = rewriteRequest(message)
  const again = readRequests(wire, { stopAtClose: false })
  const [first] = again.messages
  if (again.messages.length !== 1 || first?.body !== message.body) return 'we read it otherwise ourselves'
  const text = new Wire(wire.toString('latin1'))
  for (const how of REPAIRING) {
    const read = readCarelessly(text, how)
    if (read.outcome !== 'message') return `no message (${read.outcome}): ${how.name}`
    if (read.rest !== '') return `a second message: ${how.name}`
    if (read.body !== message.body) return `other content: ${how.name}`
    if (read.fieldCount !== fieldsForRewriting(message).length) return `other fields: ${how.name}`
  }
  return undefined
}

test(
  'HTTP1-70 requests that we accept, Node accepts as the same; written out again they are one message to anybody',
  { timeout: 3_600_000 },
  async () => {
    const { seed, count } = fuzzRun('requests against Node', 20_000)
    const random = new Random(seed)
    let accepted = 0
    for (let done = 0; done < count; done += BATCH) {
      const wires = random.many(BATCH, BATCH, () => {
        const wire = random.many(1, 3, () => randomRequest(random)).join('')
        return bytesOf(mutate(random, wire))
      })
      const told = await nodeReadsRequests(wires)
      for (const [i, wire] of wires.entries()) {
        const ours = readRequests(wire, { pieces: random.many(0, 12, () => random.int(60)), scribble: true })
        const whole = ours.messages.filter(({ trailers }) => trailers !== undefined)
        accepted += whole.length
        const problem = difference(ours, told[i]!) ?? whole.map(smuggled).find((each) => each !== undefined)
        if (problem !== undefined)
          expect.fail(
            `${problem}, seed ${seed}: ${JSON.stringify(wire.toString('latin1'))}\nours: ${JSON.stringify(ours)}\nNode: ${JSON.stringify(told[i])}`,
          )
      }
    }
    // A fuzzer that is refused everything proves nothing.
    expect(accepted).toBeGreaterThan(count / 3)
  },
)
