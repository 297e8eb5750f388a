import { expect, test } from 'vitest'
import { readHead, readReply } from '../kit/http-reply.ts'
import { startHttpOrigin, startRawOrigin } from '../kit/origin.ts'
import { startRoute } from '../kit/route.ts'

/** An origin that answers each head with `answer`, and tells what it was asked. */
async function startScribe(answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok') {
  const heads: string[] = []
  const origin = await startRawOrigin((socket) => {
    let text = ''
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1')
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        heads.push(text.slice(0, end))
        text = text.slice(end + 4)
        socket.write(answer, 'latin1')
      }
    })
    socket.on('end', () => socket.end())
  })
  return Object.assign(origin, { heads })
}

test('FWD-10 what the origin gets: its own Host, the fields in order, case and number, Via at the end', async () => {
  await using route = await startRoute({ origin: startScribe() })
  await using client = await route.client()
  client.write(
    [
      `GET ${route.url('/path?query')} HTTP/1.1`,
      'X-UPPER: 1',
      'Host: evil.test',
      'x-lower:    two  words   ',
      'X-Twice: a',
      'Accept: */*',
      'x-twice: b',
      'X-Latin: caf\xe9\xff',
      'X-Empty:',
      'Via: 1.0 before',
      '\r\n',
    ].join('\r\n'),
  )
  expect((await readReply(client)).content).toBe('ok')
  expect(route.origin.heads).toEqual([
    [
      'GET /path?query HTTP/1.1',
      `Host: ${route.authority}`,
      'X-UPPER: 1',
      'x-lower: two  words',
      'X-Twice: a',
      'Accept: */*',
      'x-twice: b',
      'X-Latin: caf\xe9\xff',
      'X-Empty: ',
      'Via: 1.0 before',
      'Via: 1.1 sallyport',
    ].join('\r\n'),
  ])
  expect(route.decisions()).toMatchObject([{ 'sallyport.decision': 'allow', 'url.path': '/path' }])
})

test('FWD-11 fields for the next hop only, and all that is addressed to the proxy, stay here', async () => {
  await using route = await startRoute({ origin: startScribe() })
  await using client = await route.client()
  client.write(
    [
      `GET ${route.url('/')} HTTP/1.1`,
      'Host: x',
      'Connection: close, X-Hop ,x-other',
      'Connection: keep-alive, Host, Content-Length, Via',
      'X-Hop: 1',
      'X-Other: 2',
      'X-Kept: 3',
      'Keep-Alive: timeout=5',
      'Proxy-Authorization: Basic c2VjcmV0',
      'Proxy-Connection: keep-alive',
      'proxy-anything: 4',
      'TE: gzip, trailers;q=0.5',
      'Upgrade: h2c',
      'HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA',
      'Via: 1.1 before',
      '\r\n',
    ].join('\r\n'),
  )
  await readReply(client)
  expect(route.origin.heads[0]!.split('\r\n')).toEqual([
    'GET / HTTP/1.1',
    `Host: ${route.authority}`,
    'X-Kept: 3',
    'Via: 1.1 before',
    'Via: 1.1 sallyport',
    'Connection: TE',
    'TE: trailers',
  ])
  expect(JSON.stringify(await route.proxy.log())).not.toContain('c2VjcmV0')
})

test('FWD-12 what the client gets: no hop-by-hop fields, none that speak in the name of the proxy', async () => {
  const answer = [
    'HTTP/1.1 200 Fine, \xe9 too',
    'Server: x',
    'Set-Cookie: a=1',
    'set-cookie: b=2',
    'Connection: X-Hop, keep-alive',
    'Keep-Alive: timeout=5',
    'X-Hop: 1',
    'X-Proxy-Error: blocked-by-denylist',
    'Proxy-Status: sallyport; error=http_request_denied',
    'Proxy-Authenticate: Basic realm="give me your password"',
    'Proxy-Connection: close',
    'X-Latin: \xe9',
    'Content-Length: 2',
    '',
    'ok',
  ].join('\r\n')
  await using route = await startRoute({ origin: startScribe(answer) })
  await using client = await route.client()
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  const reply = await readReply(client)
  expect(reply.reason).toBe('Fine, \xe9 too')
  expect(reply.fields).toEqual([
    ['Server', 'x'],
    ['Set-Cookie', 'a=1'],
    ['set-cookie', 'b=2'],
    ['X-Latin', '\xe9'],
    ['Content-Length', '2'],
    ['Via', '1.1 sallyport'],
  ])
})

test('FWD-13 the path goes out byte for byte as it came', async () => {
  await using route = await startRoute({ origin: startScribe() })
  await using client = await route.client()
  const paths = [
    '/a%2Fb/../x?y=%00',
    '/./../..//',
    '/%',
    '/?',
    '/a;b=c?d#'.slice(0, -1),
    '/{}|^`"<>',
    '//host/',
  ]
  for (const path of paths) {
    client.write(`GET ${route.url(path)} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await readReply(client)
  }
  client.write(`GET ${route.url('')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await readReply(client)
  client.write(`GET ${route.url('?q')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await readReply(client)
  client.write(`OPTIONS ${route.url('')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await readReply(client)
  expect(route.origin.heads.map((head) => head.split(' ')[1])).toEqual([...paths, '/', '/?q', '*'])
})

test('FWD-14 a request that has been here before is a loop: 502, no look-up, no dial', async () => {
  await using route = await startRoute({ origin: startScribe() })
  await using client = await route.client()
  const vias = ['1.1 sallyport', '1.0 a, 1.1 Sallyport (x)', '1.1 a\r\nVia: 2 b, 1.1 sallyport']
  for (const via of vias) {
    client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\nVia: ${via}\r\n\r\n`)
    const reply = await readReply(client)
    expect([reply.status, reply.get('x-proxy-error')], via).toEqual([502, 'loop-detected'])
  }
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\nVia: 1.1 sallyport2, 1.1 not-sallyport\r\n\r\n`)
  expect((await readReply(client)).status).toBe(200)
  expect(route.origin.heads).toHaveLength(1)
  expect(route.decisions()).toHaveLength(4)
})

test('FWD-15 HEAD, 204 and 304 have no content, and the connection goes on', async () => {
  await using route = await startRoute({
    origin: startHttpOrigin((request, response) => {
      if (request.url === '/204') return void response.writeHead(204, { 'x-a': '1' }).end()
      if (request.url === '/304') return void response.writeHead(304, { etag: '"x"' }).end()
      response
        .writeHead(200, { 'content-length': '1000' })
        .end(request.method === 'HEAD' ? '' : 'x'.repeat(1000))
    }),
  })
  await using client = await route.client()
  client.write(`HEAD ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  expect((await readReply(client, 'HEAD')).get('content-length')).toBe('1000')
  for (const status of [204, 304]) {
    client.write(`GET ${route.url(`/${status}`)} HTTP/1.1\r\nHost: x\r\n\r\n`)
    const reply = await readReply(client)
    expect([reply.status, reply.get('transfer-encoding')]).toEqual([status, undefined])
  }
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  expect((await readReply(client)).content).toHaveLength(1000)
  expect(route.origin.connections).toBe(1)
  expect(route.decisions()).toHaveLength(4)
})

test('FWD-16 a client of HTTP/1.0 gets content that ends with the connection, and no interim responses', async () => {
  await using route = await startRoute({
    origin: startScribe(
      'HTTP/1.1 103 Early\r\nLink: x\r\n\r\n' +
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n',
    ),
  })
  await using client = await route.client()
  client.write(`GET ${route.url('/')} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`)
  const reply = await readReply(client)
  expect(reply.status).toBe(200)
  expect(reply.get('transfer-encoding')).toBeUndefined()
  expect(reply.get('connection')).toBe('close')
  expect(reply.content).toBe('abcde')
  expect(client.wasReset).toBe(false)
  expect(route.origin.heads[0]).toMatch(/^GET \/ HTTP\/1\.1\r\n/)
})

test('FWD-17 a client of HTTP/1.0 that asks for it keeps its connection where the length is known', async () => {
  await using route = await startRoute({ origin: startScribe() })
  await using client = await route.client()
  for (let i = 0; i < 2; i++) {
    client.write(`GET ${route.url('/')} HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n`)
    const reply = await readReply(client)
    expect([reply.content, reply.get('connection')]).toEqual(['ok', 'keep-alive'])
  }
  client.write(`GET ${route.url('/')} HTTP/1.0\r\n\r\n`)
  const last = await readReply(client)
  expect([last.content, last.get('connection')]).toEqual(['ok', 'close'])
  expect(await client.rest()).toBe('')
})

test('FWD-18 content that ends with the connection of the origin is chunked for HTTP/1.1', async () => {
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nuntil the end'))
    }),
  })
  await using client = await route.client()
  for (let i = 0; i < 2; i++) {
    client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
    const reply = await readReply(client)
    expect(reply.get('transfer-encoding')).toBe('chunked')
    expect(reply.content).toBe('until the end')
  }
  expect(route.origin.connections).toBe(2)
})

test('FWD-19 a response that the origin cuts is cut for the client as well, however it is framed', async () => {
  const cuts = [
    'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nnot all\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nnot all\r\n0\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nnot all',
  ]
  let next = 0
  await using route = await startRoute({
    origin: startRawOrigin((socket) => socket.once('data', () => socket.end(cuts[next++]!))),
  })
  for (const cut of cuts) {
    await using client = await route.client()
    client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await readHead(client)
    expect(await client.rest(), cut).not.toContain('0\r\n\r\n')
    expect(client.wasReset, cut).toBe(true)
  }
  await using old = await route.client()
  cuts.push(cuts[1]!)
  old.write(`GET ${route.url('/')} HTTP/1.0\r\n\r\n`)
  await old.until('not all')
  await old.rest()
  expect(old.wasReset, 'a client of HTTP/1.0 has nothing else to know it by').toBe(true)
  expect(await route.completed(5)).toMatchObject({ 'error.type': 'http_response_incomplete' })
  expect(route.decisions()).toHaveLength(5)
})

test('FWD-20 an origin that resets in the middle is a cut, before its head a 502', async () => {
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      socket.once('data', (bytes: Buffer) => {
        if (bytes.includes('/early')) return socket.resetAndDestroy()
        socket.write('HTTP/1.1 200 OK\r\n\r\nuntil the end', () => socket.resetAndDestroy())
      })
    }),
  })
  await using client = await route.client()
  client.write(`POST ${route.url('/early')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  const early = await readReply(client)
  expect([early.status, early.get('x-proxy-error')]).toEqual([502, 'connection-terminated'])
  client.write(`GET ${route.url('/late')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  expect(await client.rest()).not.toContain('0\r\n\r\n')
  expect(client.wasReset).toBe(true)
  expect(await route.completed(2)).toMatchObject({ 'error.type': 'http_response_incomplete' })
})

test('FWD-21 a response that is malformed or ambiguous is 502, and its connection is not used again', async () => {
  const bad = [
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX : a\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n',
    'HTTP/1.1 200 OK\nX: a\n\n',
    'HTTP/1.1 20 OK\r\n\r\n',
    'HTTP/2 200 OK\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    'SSH-2.0-OpenSSH\r\n\r\n',
    `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`,
    `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(40)}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`,
  ]
  let next = 0
  await using route = await startRoute({
    origin: startRawOrigin((socket) => socket.once('data', () => socket.write(bad[next++]!, 'latin1'))),
  })
  for (const answer of bad) {
    await using client = await route.client()
    client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
    let reply = await readReply(client)
    while (reply.status < 200) reply = await readReply(client)
    expect(reply.status, answer.slice(0, 80)).toBe(502)
    expect(reply.get('proxy-status'), answer.slice(0, 80)).toContain('error=http_protocol_error')
  }
  expect(route.origin.connections).toBe(bad.length)
  expect(route.decisions()).toHaveLength(bad.length)
})
