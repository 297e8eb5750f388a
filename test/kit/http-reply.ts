import type { RawClient } from './raw-client.ts'

/** A response as a client sees it, head and content. */
export interface Reply {
  readonly status: number
  readonly reason: string
  /** In their order and spelling. */
  readonly fields: readonly (readonly [name: string, value: string])[]
  /** Values of a field, by its name in any case. */
  all(name: string): string[]
  get(name: string): string | undefined
  /** Latin1, without chunk framing. */
  readonly content: string
  /** The trailer section as it came. */
  readonly trailers: string
}

/** Reads one head, the final one or an interim one, and nothing behind it. */
export async function readHead(client: RawClient): Promise<Omit<Reply, 'content' | 'trailers'>> {
  const text = await client.until('\r\n\r\n')
  const [line, ...lines] = text.slice(0, -4).split('\r\n')
  const fields = lines.map((each) => {
    const colon = each.indexOf(':')
    return [each.slice(0, colon), each.slice(colon + 1).trim()] as const
  })
  const all = (name: string) =>
    fields.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value)
  return {
    status: Number(line!.split(' ')[1]),
    reason: line!.split(' ').slice(2).join(' '),
    fields,
    all,
    get: (name) => all(name)[0],
  }
}

/** Reads one response with its content, by the framing that its head claims. */
export async function readReply(client: RawClient, method = 'GET'): Promise<Reply> {
  const head = await readHead(client)
  const bodiless = method === 'HEAD' || head.status === 204 || head.status === 304 || head.status < 200
  if (bodiless) return { ...head, content: '', trailers: '' }
  if (head.get('transfer-encoding') === 'chunked') return { ...head, ...(await readChunks(client)) }
  const length = head.get('content-length')
  if (length === undefined) return { ...head, content: await client.rest(), trailers: '' }
  return { ...head, content: await client.until(anyOf(Number(length))), trailers: '' }
}

async function readChunks(client: RawClient): Promise<{ content: string; trailers: string }> {
  let content = ''
  for (;;) {
    const size = Number.parseInt(await client.until('\r\n'), 16)
    if (size === 0) break
    content += (await client.until(anyOf(size + 2))).slice(0, -2)
  }
  let trailers = ''
  for (;;) {
    const line = await client.until('\r\n')
    if (line === '\r\n') return { content, trailers }
    trailers += line
  }
}

function anyOf(length: number): RegExp {
  return new RegExp(`^[\\s\\S]{${length}}`)
}
