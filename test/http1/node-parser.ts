import { createServer, type IncomingMessage, request, type Server } from 'node:http'
import { Duplex } from 'node:stream'

// The oracle: Node's own parser (llhttp), driven through node:http over streams in memory.

/** One message as Node told it; `complete` says whether Node saw its end. All text is latin1. */
export interface NodeMessage {
  readonly method: string | undefined
  readonly target: string | undefined
  readonly status: number | undefined
  readonly reason: string | undefined
  readonly version: string
  readonly fields: string[]
  body: string
  trailers: string[]
  complete: boolean
}

export interface NodeTranscript {
  messages: NodeMessage[]
  /** `code` of the parser's error (`HPE_…`), if there was one. */
  error: string | undefined
  /** What came after a CONNECT or a switch. */
  rest: string | undefined
}

/**
 * Node reads framing fields in a trailer section too, and refuses bad ones after all content is told; we drop them, good or bad.
 */
export function stumblesOverTrailers(told: NodeMessage, { error }: NodeTranscript): boolean {
  return !told.complete && FRAMING_TROUBLE.has(error ?? '')
}

/**
 * Whether Node reads nothing behind this request although we do: it obeys Proxy-Connection, which no RFC knows, and reads
 * connection options in a trailer section too, and it leaves what follows an offer to switch protocols to the new one.
 */
export function stopsNode(told: NodeMessage): boolean {
  return (
    told.fields.some((line) => /^(?:proxy-connection|upgrade):/i.test(line)) ||
    told.trailers.some((line) => /^(?:proxy-connection|connection|upgrade):/i.test(line))
  )
}

const FRAMING_TROUBLE: ReadonlySet<string> = new Set([
  'HPE_INVALID_TRANSFER_ENCODING',
  'HPE_INVALID_CONTENT_LENGTH',
  'HPE_UNEXPECTED_CONTENT_LENGTH',
])

function pairs(raw: readonly string[]): string[] {
  const lines: string[] = []
  for (let i = 0; i < raw.length; i += 2) lines.push(`${raw[i]}: ${raw[i + 1]}`)
  return lines
}

function collect(message: IncomingMessage, into: NodeMessage[]): void {
  const { method, url, statusCode, statusMessage, httpVersion } = message
  const told: NodeMessage = {
    method,
    target: url,
    status: statusCode ?? undefined,
    reason: statusMessage ?? undefined,
    version: httpVersion,
    fields: pairs(message.rawHeaders),
    body: '',
    trailers: [],
    complete: false,
  }
  into.push(told)
  message.on('data', (bytes: Buffer) => {
    told.body += bytes.toString('latin1')
  })
  message.on('end', () => {
    told.complete = message.complete
    told.trailers = pairs(message.rawTrailers)
  })
  message.on('error', () => {})
}

/** A stream that gives `wire` and then stays open (or ends), and swallows what is written to it. */
function wireStream(wire: Buffer, ends: boolean): Duplex {
  const stream = new Duplex({
    read() {},
    write(_bytes, _encoding, done) {
      done()
    },
  })
  stream.on('error', () => {})
  stream.push(wire)
  if (ends) stream.push(null)
  return stream
}

/** Everything that streams in memory do, they do before the next turn but one of the event loop. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** Reads each of `wires` as what one connection to a Node server sent. */
export async function nodeReadsRequests(wires: readonly Buffer[]): Promise<NodeTranscript[]> {
  const server: Server = createServer({ requireHostHeader: false, maxHeaderSize: 1 << 20 })
  const transcripts = new Map<Duplex, NodeTranscript>()
  const of = (stream: unknown): NodeTranscript => transcripts.get(stream as Duplex)!
  const take = (message: IncomingMessage) => collect(message, of(message.socket).messages)
  server.on('request', take)
  server.on('checkContinue', take)
  server.on('checkExpectation', take)
  server.on('connect', (message, stream, head) => {
    take(message)
    const transcript = of(stream)
    transcript.messages.at(-1)!.complete = true
    transcript.rest = head.toString('latin1')
  })
  server.on('clientError', (error: NodeJS.ErrnoException, stream) => {
    of(stream).error ??= error.code ?? error.message
  })
  const told = wires.map((wire) => {
    const transcript: NodeTranscript = { messages: [], error: undefined, rest: undefined }
    const stream = wireStream(wire, false)
    transcripts.set(stream, transcript)
    server.emit('connection', stream)
    return transcript
  })
  await settled()
  for (const stream of transcripts.keys()) stream.destroy()
  await settled()
  server.close()
  return told
}

export interface NodeAsks {
  readonly wire: Buffer
  readonly method: string
}

/** Reads each of `asks` as the answer to one request of a Node client; the connection ends after it. */
export async function nodeReadsResponses(asks: readonly NodeAsks[]): Promise<NodeTranscript[]> {
  const open: Duplex[] = []
  const told = asks.map(({ wire, method }) => {
    const transcript: NodeTranscript = { messages: [], error: undefined, rest: undefined }
    const stream = wireStream(wire, true)
    open.push(stream)
    const asked = request({
      method,
      path: method === 'CONNECT' ? 'a.example:443' : '/',
      host: 'a.example',
      maxHeaderSize: 1 << 20,
      headers: { connection: 'keep-alive' },
      createConnection: () => stream,
    })
    asked.on('response', (message) => collect(message, transcript.messages))
    const switched = (message: IncomingMessage, _stream: unknown, head: Buffer) => {
      collect(message, transcript.messages)
      transcript.messages.at(-1)!.complete = true
      transcript.rest = head.toString('latin1')
    }
    asked.on('upgrade', switched)
    asked.on('connect', switched)
    asked.on('error', (error: NodeJS.ErrnoException) => {
      transcript.error ??= error.code ?? error.message
    })
    asked.end()
    return transcript
  })
  await settled()
  for (const stream of open) stream.destroy()
  await settled()
  return told
}
