import { once } from 'node:events'
import { Agent, createServer, request, type Server } from 'node:http'
import { Agent as TlsAgent, createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { type Certificate, makeCertificate } from '../kit/certificate.ts'
import { type DnsServer, startDns } from '../kit/dns.ts'
import { type Served, startServed } from '../kit/served.ts'
import { policyFor } from './policy.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let certificate: Certificate
let dns: DnsServer
let plain: Server
let secure: Server
let sockets: WebSocketServer
let proxy: Served

const portOf = (server: Server): number => (server.address() as AddressInfo).port

beforeAll(async () => {
  certificate = await makeCertificate('ok.test')
  dns = await startDns({ '*.test': ['127.0.0.1'] })
  plain = createServer().listen(0, '127.0.0.1')
  secure = createTlsServer({ cert: certificate.cert, key: certificate.key }).listen(0, '127.0.0.1')
  await Promise.all([once(plain, 'listening'), once(secure, 'listening')])
  sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'chat' })
  for (const server of [plain, secure])
    server.on('upgrade', (asked, socket, head) =>
      sockets.handleUpgrade(asked, socket, head, (each) => {
        // The first word is the server's, as many protocols have it; then an echo.
        each.send(`welcome to ${asked.url} of ${asked.headers.host}, via ${asked.headers.via ?? 'nobody'}`)
        each.on('message', (data, isBinary) => each.send(data, { binary: isBinary }))
      }),
    )
  proxy = await startServed({
    config: policyFor({ dns: dns.address, ports: [portOf(plain), portOf(secure)] }),
  })
})

afterAll(async () => {
  await proxy[Symbol.asyncDispose]()
  sockets.close()
  for (const server of [plain, secure]) {
    server.closeAllConnections()
    server.close()
  }
  await dns[Symbol.asyncDispose]()
  await certificate[Symbol.asyncDispose]()
})

/** Opens a tunnel for each connection, as the proxy agents for ws do. */
function tunnelAgent(secured: boolean): Agent {
  const agent = secured ? new TlsAgent() : new Agent()
  agent.createConnection = (options, opened) => {
    const { host, port } = options as { host: string; port: number }
    const asked = request({ host: '127.0.0.1', port: proxy.port, method: 'CONNECT', path: `${host}:${port}` })
    asked.on('error', (error) => opened?.(error, undefined as never))
    asked.on('connect', (response, socket: Socket) => {
      if (response.statusCode !== 200)
        opened?.(new Error(`${response.statusCode} ${response.statusMessage}`), undefined as never)
      else opened?.(null, secured ? tlsConnect({ socket, servername: host, ca: certificate.cert }) : socket)
    })
    asked.end()
    return undefined
  }
  return agent
}

/** The request in absolute form, on a plain connection to the proxy. */
function absoluteForm(url: string): WebSocket {
  return new WebSocket(url, 'chat', {
    createConnection: () => connect(proxy.port, '127.0.0.1'),
    finishRequest(asked) {
      asked.path = url.replace(/^ws:/, 'http:')
      asked.end()
    },
  })
}

async function talk(socket: WebSocket): Promise<{ welcome: string; echoes: string[]; code: number }> {
  const [first] = (await once(socket, 'message')) as [Buffer]
  expect(socket.protocol).toBe('chat')
  const echoes: string[] = []
  for (const size of [5, 70_000, 1_000_000]) {
    const sent = Buffer.alloc(size, 97 + (size % 26))
    socket.send(sent)
    const [echo, isBinary] = (await once(socket, 'message')) as [Buffer, boolean]
    expect(isBinary).toBe(true)
    expect(echo.equals(sent)).toBe(true)
    echoes.push(String(echo.length))
  }
  socket.close(4001, 'enough')
  const [code] = (await once(socket, 'close')) as [number]
  return { welcome: String(first), echoes, code }
}

test('E2E-92 WebSockets go by absolute form, through a tunnel in the clear, and through a tunnel with TLS', async () => {
  const ws = `ws://ok.test:${portOf(plain)}/chat`
  const wss = `wss://ok.test:${portOf(secure)}/chat`
  const talks = await Promise.all([
    talk(absoluteForm(ws)),
    talk(new WebSocket(ws, 'chat', { agent: tunnelAgent(false) })),
    talk(new WebSocket(wss, 'chat', { agent: tunnelAgent(true) })),
  ])
  expect(talks.map(({ welcome }) => welcome)).toEqual([
    `welcome to /chat of ok.test:${portOf(plain)}, via 1.1 sallyport`,
    `welcome to /chat of ok.test:${portOf(plain)}, via nobody`,
    `welcome to /chat of ok.test:${portOf(secure)}, via nobody`,
  ])
  for (const each of talks) expect(each).toMatchObject({ echoes: ['5', '70000', '1000000'], code: 4001 })

  const refused = new WebSocket(`wss://denied.test:${portOf(secure)}/chat`, { agent: tunnelAgent(true) })
  const [error] = (await once(refused, 'error')) as [Error]
  expect(error.message).toMatch(/^403 Blocked by policy: denied \(req /)
  const refusedForm = absoluteForm(`ws://denied.test:${portOf(plain)}/chat`)
  const [unexpected] = (await once(refusedForm, 'error')) as [Error]
  expect(unexpected.message).toBe('Unexpected server response: 403')

  expect((await proxy.stop()).code).toBe(0)
  const record = await proxy.record()
  const decisions = record.filter(({ event }) => event === 'sallyport.egress.decision')
  expect(decisions.map(({ attributes }) => attributes['sallyport.decision']).toSorted()).toEqual([
    'allow',
    'allow',
    'allow',
    'deny',
    'deny',
  ])
  const completed = record.filter(
    ({ event, attributes }) => event === 'sallyport.egress.completed' && attributes['network.peer.address'],
  )
  expect(completed).toHaveLength(3)
  for (const { attributes } of completed) {
    expect(attributes['sallyport.bytes.sent']).toBeGreaterThan(1_070_005)
    expect(attributes['sallyport.bytes.received']).toBeGreaterThan(1_070_005)
    expect(attributes).not.toHaveProperty('error.type')
  }
  const upgraded = completed.find(({ attributes }) => attributes['http.request.method'] === 'GET')
  expect(upgraded!.attributes).toMatchObject({ 'http.response.status_code': 101 })
})
