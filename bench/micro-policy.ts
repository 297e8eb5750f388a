/**
 * What a policy with a million denied domains costs: time to load, memory, and nanoseconds a decision.
 * `node --expose-gc bench/micro-policy.ts [names]`. Names are made here, from a fixed seed; nothing is read or sent.
 */
import { parseAuthority } from '../src/core/authority.ts'
import { clientOf } from '../src/core/client.ts'
import { parseIpAddress } from '../src/core/ip-address.ts'
import { type Question, decide } from '../src/policy/decide.ts'
import { type Policy, compilePolicy } from '../src/policy/policy.ts'

const COUNT = Number(process.argv[2] ?? 1_000_000)
const BATCHES = 2000
const BATCH = 100

/** A small generator of numbers, so that each run measures the same names (xorshift32). */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

const random = createRandom(0x5a11)
const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'

function label(shortest: number, longest: number): string {
  let text = LETTERS[random() % 26]!
  const length = shortest + (random() % (longest - shortest + 1))
  while (text.length < length) text += LETTERS[random() % 36]!
  return text
}

function domain(tail: string): string {
  const labels = Array.from({ length: 1 + (random() % 3) }, () => label(3, 12))
  return `${labels.join('.')}.${tail}`
}

const TAILS = ['com', 'net', 'org', 'co.uk', 'io', 'de']
const tail = () => TAILS[random() % TAILS.length]!

/** Twice, with a turn of the event loop between: memory off the heap is given back by finalizers. */
async function memory() {
  for (let i = 0; i < 2; i++) {
    globalThis.gc?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return process.memoryUsage()
}

const names = Array.from({ length: COUNT }, () => domain(tail()))
const bytes = Buffer.from(names.map((name, i) => (i % 10 === 0 ? `*.${name}` : name)).join('\n'))

function compile(): Policy {
  const { policy, problems } = compilePolicy({
    allowed: ['**.allowed.example', 'packages.example', 'git*.example.net', 'svc.example.org:8443'].map(
      (text, i) => ({ text, source: { file: 'bench.toml', line: i + 1 } }),
    ),
    denied: [],
    deniedFiles: [{ file: 'list.txt', bytes }],
    allowedPorts: [80, 443],
    unfamiliar: 'hold',
    private: [],
    own: [{ address: '127.0.0.1', port: 3128 }],
    localAddresses: [],
  })
  if (problems.length > 0) throw new Error(JSON.stringify(problems[0]))
  return policy
}

const before = await memory()
let policy = compile()
const after = await memory()
const loads: number[] = []
for (let i = 0; i < 5; i++) {
  await memory()
  const start = performance.now()
  policy = compile()
  loads.push(performance.now() - start)
}

const client = clientOf('127.0.0.1', 40_000).id
/** As a door makes it: the target is a piece of a text that was just read from a socket. */
function question(host: string): Question {
  const head = Buffer.from(`CONNECT ${host}:443 HTTP/1.1`).toString('latin1')
  return { authority: parseAuthority(head.slice(8, head.lastIndexOf(' '))), client }
}

const ANSWERS = ['93.184.216.34', '2606:2800:220:1:248:1893:25c8:1946'].map((text) => parseIpAddress(text)!)

const GROUPS: Record<string, () => Question> = {
  'denied (hit)': () => question(names[random() % names.length]!),
  'unfamiliar (miss)': () => question(domain(tail())),
  allowed: () => question(`${label(3, 10)}.allowed.example`),
  'allowed, with two addresses': () => ({
    ...question(`${label(3, 10)}.allowed.example`),
    addresses: ANSWERS,
  }),
}

/**
 * Nanoseconds a call, over batches, since one call is shorter than the clock can see. Each question is new. On a machine
 * with other work to do the lowest tenth says more than the median.
 */
function measure(next: () => Question): { times: number[]; kinds: Record<string, number> } {
  const kinds: Record<string, number> = {}
  const times: number[] = []
  for (let i = 0; i < BATCHES; i++) {
    const batch = Array.from({ length: BATCH }, next)
    const start = process.hrtime.bigint()
    let last = ''
    for (const each of batch) last = decide(policy, each, () => undefined).kind
    times.push(Number(process.hrtime.bigint() - start) / BATCH)
    kinds[last] = (kinds[last] ?? 0) + 1
  }
  times.sort((a, b) => a - b)
  return { times, kinds }
}

const MB = 1_000_000
const out = (line: string) => process.stdout.write(`${line}\n`)
out(
  `node ${process.version}, ${policy.counts.denied} denied names, list of ${(bytes.length / MB).toFixed(1)} MB`,
)
loads.sort((a, b) => a - b)
out(`load: median ${loads[2]!.toFixed(0)} ms of 5, fastest ${loads[0]!.toFixed(0)} ms`)
out(
  `memory: ${((after.arrayBuffers - before.arrayBuffers) / MB).toFixed(1)} MB off heap, ${((after.heapUsed - before.heapUsed) / MB).toFixed(1)} MB on it`,
)
for (const [name, next] of Object.entries(GROUPS)) {
  measure(next)
  const { times, kinds } = measure(next)
  const at = (part: number) => times[Math.floor(times.length * part)]!.toFixed(0)
  out(`decide, ${name}: median ${at(0.5)} ns, p10 ${at(0.1)}, p99 ${at(0.99)} ${JSON.stringify(kinds)}`)
}
