import { connect } from 'node:net'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import { createFakeClock } from '../kit/fake-clock.ts'
import { readReply } from '../kit/http-reply.ts'
import { operatorOf } from '../kit/operator.ts'
import { startEchoOrigin, startHttpOrigin } from '../kit/origin.ts'
import { startRoute } from '../kit/route.ts'

/** An origin that begins each answer and ends it when the test says so. */
async function startUnhurried() {
  const begun: ServerResponse[] = []
  let wake = () => {}
  const origin = await startHttpOrigin((_, response) => {
    response.write('begin ')
    begun.push(response)
    wake()
  })
  return Object.assign(origin, {
    async serving(): Promise<ServerResponse> {
      while (begun.length === 0) await new Promise<void>((resolve) => (wake = resolve))
      return begun.shift()!
    },
  })
}

test('LIM-20 draining: what runs is finished, what is idle is closed, nothing new is taken', async () => {
  await using route = await startRoute({ origin: startUnhurried() })
  await using idle = await route.client()
  idle.write('CONNECT denied.test:443 HTTP/1.1\r\n\r\n')
  await readReply(idle)
  await using fresh = await route.client()
  await using busy = await route.client()
  busy.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  const response = await route.origin.serving()
  await busy.until('begin ')

  const drained = route.proxy.daemon.drain()
  expect(await idle.rest()).toBe('')
  expect(await fresh.rest()).toBe('')
  const late = connect({ port: route.proxy.port, host: '127.0.0.1' })
  const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException]
  expect(error.code).toBe('ECONNREFUSED')

  response.end('and end')
  expect(await busy.rest()).toContain('and end\r\n0\r\n\r\n')
  expect(busy.wasReset).toBe(false)
  busy.socket.end()
  await drained
  const lines = await route.proxy.log()
  expect(lines.map(({ event }) => event).slice(-3)).toEqual([
    'sallyport.process.draining',
    'sallyport.egress.completed',
    'sallyport.process.stopped',
  ])
})

test('LIM-21 draining: answers that begin now say that their connection is the last', async () => {
  await using route = await startRoute({ origin: startUnhurried() })
  await using client = await route.client()
  client.write(`GET http://new.test:${route.origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  await operatorOf(route.proxy).asked('new.test')
  const drained = route.proxy.daemon.drain()
  const reply = await readReply(client)
  expect([reply.status, JSON.parse(reply.content)['reason'], reply.get('connection')]).toEqual([
    503,
    'draining',
    'close',
  ])
  expect(await client.rest()).toBe('')
  client.socket.end()
  await drained
  expect(route.decisions()).toMatchObject([{ 'sallyport.decision': 'deny' }])
})

test('LIM-22 draining ends after drain.timeout: what still runs is cut, and looks cut', async () => {
  const clock = createFakeClock()
  await using route = await startRoute({ origin: startUnhurried(), clock })
  await using download = await route.client()
  download.write(`GET ${route.url('/')} HTTP/1.0\r\n\r\n`)
  await download.until('begin ')
  const drained = route.proxy.daemon.drain()
  await new Promise(setImmediate)
  clock.advance(29_999)
  expect(download.socket.readyState).toBe('open')
  clock.advance(1)
  await drained
  await download.rest()
  expect(download.wasReset).toBe(true)
  expect((await route.proxy.log()).map(({ event }) => event)).toContain('sallyport.egress.completed')
})

test('LIM-23 draining waits for tunnels, and closes them at its end', async () => {
  const clock = createFakeClock()
  await using route = await startRoute({ origin: startEchoOrigin(), clock })
  await using client = await route.tunnel()
  const drained = route.proxy.daemon.drain()
  client.write('still here')
  await client.until('still here')
  clock.advance(30_000)
  await drained
  await client.rest()
  expect(client.wasReset).toBe(true)
  const ends = (await route.proxy.log()).filter(({ event }) => event === 'sallyport.egress.completed')
  expect(ends).toMatchObject([{ attributes: { 'error.type': 'draining', 'sallyport.bytes.sent': 10 } }])
})

test('LIM-24 a pipelined request behind the one that runs is not begun while draining', async () => {
  await using route = await startRoute({ origin: startUnhurried() })
  await using client = await route.client()
  const request = `GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`
  client.write(request + request)
  const response = await route.origin.serving()
  const drained = route.proxy.daemon.drain()
  response.end('end')
  expect((await client.rest()).match(/HTTP\/1\.1 200/g)).toHaveLength(1)
  client.socket.end()
  await drained
  expect(route.decisions()).toHaveLength(1)
})
