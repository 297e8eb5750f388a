import type { ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import { readReply } from '../kit/http-reply.ts'
import { startHttpOrigin } from '../kit/origin.ts'
import { operatorOf } from '../kit/operator.ts'
import { type Route, startRoute } from '../kit/route.ts'

/** An origin that says what it was asked; `/hold…` waits until the test lets it go. */
async function startPatientOrigin() {
  const asked: string[] = []
  const held: ServerResponse[] = []
  let wake = () => {}
  const origin = await startHttpOrigin((request, response) => {
    request.resume()
    request.on('end', () => {
      asked.push(request.url!)
      response.setHeader('x-path', request.url!)
      if (!request.url!.startsWith('/hold')) return void response.end(request.url)
      held.push(response)
      wake()
    })
  })
  return Object.assign(origin, {
    asked,
    async holding(): Promise<ServerResponse> {
      while (held.length === 0) await new Promise<void>((resolve) => (wake = resolve))
      return held.shift()!
    },
  })
}

test('FWD-01 pipelined requests are answered in their order, each with a decision of its own', async () => {
  await using route = await startRoute({ origin: startPatientOrigin() })
  await using client = await route.client()
  const paths = ['/a', '/b', '/c', '/d']
  client.write(paths.map((path) => `GET ${route.url(path)} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''))
  for (const path of paths) expect((await readReply(client)).content).toBe(path)
  expect(route.origin.asked).toEqual(paths)
  expect(route.decisions()).toHaveLength(4)
  expect(route.origin.connections).toBe(1)
})

test('FWD-02 requests that wait behind another one are not overwritten by what is read later', async () => {
  await using route = await startRoute({ origin: startPatientOrigin() })
  await using client = await route.client()
  // Enough for the connection to get a read buffer of its own, which is read into again and again.
  const upload = Buffer.alloc(1024 * 1024, 'u')
  client.write(`POST ${route.url('/upload')} HTTP/1.1\r\nHost: x\r\nContent-Length: ${upload.length}\r\n\r\n`)
  client.write(upload)
  expect((await readReply(client)).content).toBe('/upload')

  const get = (path: string) => `GET ${route.url(path)} HTTP/1.1\r\nHost: x\r\n\r\n`
  client.write(get('/hold') + get('/second'))
  const held = await route.origin.holding()
  client.write(get(`/third${'x'.repeat(1000)}`))
  await using other = await route.client()
  other.write(get('/other'))
  await readReply(other) // By now the proxy has read what was written before.
  held.end('held')

  expect((await readReply(client)).content).toBe('held')
  expect((await readReply(client)).content).toBe('/second')
  expect((await readReply(client)).content).toBe(`/third${'x'.repeat(1000)}`)
  expect(route.origin.asked.slice(2)).toEqual(['/other', '/second', `/third${'x'.repeat(1000)}`])
  expect(route.decisions()).toHaveLength(5)
})

test('FWD-03 content that waits for a decision is not overwritten by what is read later', async () => {
  await using route = await startRoute({
    origin: startHttpOrigin((request, response) => {
      let content = ''
      request.on('data', (bytes: Buffer) => void (content += bytes.toString('latin1')))
      request.on('end', () => response.end(content.replace(/(.)\1*/g, (run, letter) => letter + run.length)))
    }),
  })
  await using client = await route.client()
  const upload = Buffer.alloc(1024 * 1024, 'u')
  client.write(`POST ${route.url('/')} HTTP/1.1\r\nHost: x\r\nContent-Length: ${upload.length}\r\n\r\n`)
  client.write(upload)
  expect((await readReply(client)).content).toBe('u1048576')

  const held = `http://new.test:${route.origin.port}/`
  client.write(`POST ${held} HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n${'a'.repeat(20_000)}`)
  const operator = operatorOf(route.proxy)
  const { id } = await operator.asked('new.test')
  client.write('b'.repeat(15_000))
  await roundTrip(route)
  client.write('c'.repeat(5000))
  await roundTrip(route)
  await operator.answer(id, { verdict: 'allow' })
  expect((await readReply(client)).content).toBe('a20000b15000c5000')
})

/** What was written to the proxy before this has been read by it after this. */
async function roundTrip(route: Route): Promise<void> {
  await using client = await route.client()
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await readReply(client)
}
