// Nanoseconds of CPU that the codec takes for one message, best of several rounds: `node bench/micro-http1.ts`.
import { field } from '../src/core/fields.ts'
import { DEFAULT_MESSAGE_LIMITS } from '../src/http1/limits.ts'
import { RequestReader } from '../src/http1/request-reader.ts'
import { ResponseReader } from '../src/http1/response-reader.ts'
import { requestHead, responseHead } from '../src/http1/writer.ts'

const ROUNDS = 12
const CALLS = 50_000

const browserFields = [
  field('Host', 'www.example.com'),
  field('Proxy-Connection', 'keep-alive'),
  field(
    'User-Agent',
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36',
  ),
  field(
    'Accept',
    'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8',
  ),
  field('Accept-Encoding', 'gzip, deflate, br'),
  field('Accept-Language', 'en-GB,en;q=0.9,de;q=0.8'),
  field('Cache-Control', 'max-age=0'),
  field('Referer', 'http://www.example.com/index.html'),
  field('Cookie', 'session=0123456789abcdef0123456789abcdef; theme=dark; consent=1'),
  field('Upgrade-Insecure-Requests', '1'),
  field('X-Requested-With', 'XMLHttpRequest'),
]
const originFields = [
  field('Server', 'nginx/1.27.3'),
  field('Date', 'Tue, 24 Nov 2026 10:00:00 GMT'),
  field('Content-Type', 'application/javascript; charset=utf-8'),
  field('Content-Length', '1024'),
  field('Connection', 'keep-alive'),
  field('Last-Modified', 'Mon, 23 Nov 2026 10:00:00 GMT'),
  field('ETag', '"6561f0a0-400"'),
  field('Cache-Control', 'public, max-age=31536000, immutable'),
  field('Vary', 'Accept-Encoding'),
  field('Accept-Ranges', 'bytes'),
]
const target = 'http://www.example.com/assets/js/app.3f9a7c.js?v=20260101'

const browserRequest = requestHead('GET', target, browserFields)
// Two by turns, so that no field section is that of the request before, which would be recognised and not parsed.
const otherFields = browserFields.map((each) =>
  each.key === 'cookie' ? field('Cookie', `${each.value}1`) : each,
)
const otherRequest = requestHead('GET', target, otherFields)
const connectRequest = requestHead('CONNECT', 'www.example.com:443', browserFields.slice(0, 3))
const originResponse = Buffer.concat([responseHead(200, 'OK', originFields), Buffer.alloc(1024, 0x61)])
const chunks = Buffer.concat([
  responseHead(200, 'OK', [field('Transfer-Encoding', 'chunked')]),
  ...Array.from({ length: 100 }, () => Buffer.from('400\r\n' + 'x'.repeat(1024) + '\r\n')),
  Buffer.from('0\r\n\r\n'),
])

function drain(reader: { next(): { kind: string } | undefined }): number {
  let events = 0
  for (let event = reader.next(); event !== undefined; event = reader.next()) events++
  return events
}

const requests = new RequestReader(DEFAULT_MESSAGE_LIMITS)
const responses = new ResponseReader(DEFAULT_MESSAGE_LIMITS)

let turn = false
const cases: [string, () => number][] = [
  [
    `parse a browser's GET, ${browserRequest.length} bytes, 11 fields`,
    () => {
      turn = !turn
      return read(turn ? browserRequest : otherRequest)
    },
  ],
  [`parse it with the same fields as the request before`, () => read(browserRequest)],
  [`parse a CONNECT, ${connectRequest.length} bytes, 3 fields`, () => read(connectRequest)],
  [
    `parse a response, 10 fields and 1 KiB of content`,
    () => {
      responses.expect('GET')
      responses.push(originResponse)
      return drain(responses)
    },
  ],
  [
    `parse a response of 100 chunks of 1 KiB`,
    () => {
      responses.expect('GET')
      responses.push(chunks)
      return drain(responses)
    },
  ],
  [`write a request head of 11 fields`, () => requestHead('GET', target, browserFields).length],
  [`write a response head of 10 fields`, () => responseHead(200, 'OK', originFields).length],
]

function read(wire: Buffer): number {
  requests.push(wire)
  return drain(requests)
}

function cpuNanoseconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1000
}

let sink = 0
for (const [name, run] of cases) {
  let best = Infinity
  for (let round = 0; round < ROUNDS; round++) {
    const start = cpuNanoseconds()
    for (let i = 0; i < CALLS; i++) sink += run()
    best = Math.min(best, (cpuNanoseconds() - start) / CALLS)
  }
  process.stdout.write(`${best.toFixed(0).padStart(7)} ns  ${name}\n`)
}
if (sink === 0) process.exitCode = 1
