import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { listenOnSocket } from '../../src/admin/unix-socket.ts'
import { StorageError } from '../../src/storage/private-path.ts'
import { type Office, openOffice } from './office.ts'
import { watch } from './stream.ts'

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)

async function refusal(listening: Promise<unknown>): Promise<StorageError> {
  const error = await listening.then(
    () => new Error('it listens'),
    (error: unknown) => error,
  )
  expect(error).toBeInstanceOf(StorageError)
  return error as StorageError
}

async function withToken(office: Office, token = 'token'): Promise<[tokenFile: string, read: () => string]> {
  const file = join(office.dir, 'run', token)
  return [file, () => readFileSync(file, 'utf8').trim()]
}

test('ADM-50 the socket is for this user only, whatever the umask', async () => {
  const mask = process.umask(0)
  try {
    await using office = await openOffice()
    expect(mode(office.socket)).toBe('600')
    expect(mode(join(office.dir, 'run'))).toBe('700')
    expect(process.umask()).toBe(0)
    expect(office.admin.addresses).toEqual([{ kind: 'socket', path: office.socket }])
  } finally {
    process.umask(mask)
  }
})

test('ADM-62 the socket is for this user only from the first instant', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'admin-'))
  const path = join(dir, 'a.sock')
  const server = createHttpServer()
  const first: string[] = []
  server.once('listening', () => first.push(mode(path)))
  const mask = process.umask(0)
  try {
    await listenOnSocket(server, path)
    expect(first).toEqual(['600'])
  } finally {
    process.umask(mask)
    server.close()
    rmSync(dir, { recursive: true, force: true })
  }
})

test('ADM-51 what a daemon that was killed left behind is replaced', async () => {
  await using office = await openOffice()
  const path = join(office.dir, 'run', 'dead.sock')
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`
  const child = spawn(process.execPath, ['-e', script])
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(existsSync(path)).toBe(true)
  const to = await office.admin.listenSocket(path)
  expect(mode(path)).toBe('600')
  expect((await office.call('GET', '/livez', { to })).status).toBe(200)
})

test('ADM-52 a daemon that lives is not cut off', async () => {
  await using office = await openOffice()
  await using other = await openOffice()
  const error = await refusal(other.admin.listenSocket(office.socket))
  expect(error.message).toBe(
    `${office.socket}: another sallyport listens there; stop it first, or choose another state_dir (or admin.socket) for this one`,
  )
  expect((await office.call('GET', '/livez')).status).toBe(200)
})

test('ADM-53 a file that is no socket, a directory that others may write, or a path that is too long is refused', async () => {
  await using office = await openOffice()
  const plain = join(office.dir, 'run', 'plain')
  writeFileSync(plain, 'mine')
  expect((await refusal(office.admin.listenSocket(plain))).problem).toBe('it is there and is not a socket')
  expect(readFileSync(plain, 'utf8')).toBe('mine')
  const open = join(office.dir, 'open')
  mkdirSync(open)
  chmodSync(open, 0o777)
  expect((await refusal(office.admin.listenSocket(join(open, 'a.sock')))).problem).toMatch(
    /other users may write it/,
  )
  const long = await refusal(office.admin.listenSocket(join(office.dir, 'x'.repeat(110))))
  expect(long.message).toMatch(
    /the path of a socket may have \d+ bytes, this has \d+; choose a shorter admin\.socket/,
  )
  expect(office.admin.addresses).toHaveLength(1)
})

test('ADM-54 at the end the socket is gone, watches end, and the place is free again', async () => {
  await using office = await openOffice()
  using stream = await watch({ kind: 'socket', path: office.socket })
  await stream.next()
  await office.admin.close()
  await stream.ended
  expect(existsSync(office.socket)).toBe(false)
  await office.admin.listenSocket(office.socket)
  expect((await office.call('GET', '/livez')).status).toBe(200)
})

test('ADM-55 the token is made with 256 bits for this user only, and kept', async () => {
  await using office = await openOffice()
  const [file, token] = await withToken(office)
  const to = await office.admin.listenTcp('127.0.0.1', 0, file)
  expect(mode(file)).toBe('600')
  expect(Buffer.from(token(), 'base64url')).toHaveLength(32)
  const headers = { Authorization: `Bearer ${token()}` }
  expect((await office.call('GET', '/v1/status', { to, headers })).status).toBe(200)
  const before = token()
  const again = await office.admin
    .listenTcp('::1', 0, file)
    .catch(() => office.admin.listenTcp('127.0.0.1', 0, file))
  expect(token()).toBe(before)
  expect((await office.call('GET', '/v1/status', { to: again, headers })).status).toBe(200)
})

test('ADM-56 a token that others may read, that is a link, or that could be guessed is refused', async () => {
  await using office = await openOffice()
  const [file] = await withToken(office)
  const good = 'x'.repeat(43)
  const attempt = () => refusal(office.admin.listenTcp('127.0.0.1', 0, file))
  writeFileSync(file, good, { mode: 0o640 })
  expect((await attempt()).problem).toBe('other users may read the token')
  rmSync(file)
  writeFileSync(file, 'x'.repeat(42), { mode: 0o600 })
  const short = await attempt()
  expect(short.problem).toMatch(/has 42 characters, fewer than the 43/)
  writeFileSync(file, '')
  expect((await attempt()).problem).toMatch(/does not hold a bearer token/)
  writeFileSync(file, `${good}\n${good}`)
  const two = await attempt()
  expect(two.problem).toMatch(/does not hold a bearer token/)
  expect(two.message).not.toContain('xxx')
  rmSync(file)
  writeFileSync(`${file}-elsewhere`, good, { mode: 0o600 })
  symlinkSync(`${file}-elsewhere`, file)
  expect((await attempt()).problem).toBe('it is a symbolic link')
  expect(office.admin.addresses).toHaveLength(1)
})

test.each(['0.0.0.0', '::', '192.0.2.1', '10.0.0.1', 'localhost', 'example.com'])(
  'ADM-57 %s is not loopback, and nothing listens there',
  async (address) => {
    await using office = await openOffice()
    const [file] = await withToken(office)
    const error = await refusal(office.admin.listenTcp(address, 0, file))
    expect(error.problem).toBe('the admin API listens on loopback only')
    expect(existsSync(file)).toBe(false)
  },
)

test('ADM-58 a port that is taken is named', async () => {
  await using office = await openOffice()
  const [file] = await withToken(office)
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  const error = await refusal(office.admin.listenTcp('127.0.0.1', port, file))
  expect(error.message).toContain(`admin.listen = 127.0.0.1:${port}: cannot listen there (EADDRINUSE)`)
  taken.close()
})

test.each<[string, string, Record<string, string>]>([
  ['no token', '/v1/status', {}],
  ['a wrong one', '/v1/status', { Authorization: `Bearer ${'y'.repeat(43)}` }],
  ['a part of it', '/v1/status', { Authorization: 'Bearer TOKEN[0:42]' }],
  ['more than it', '/v1/status', { Authorization: 'Bearer TOKENx' }],
  ['it as a password', '/v1/status', { Authorization: 'Basic TOKEN' }],
  ['it in the query', '/v1/status?access_token=TOKEN', {}],
  ['it in a cookie', '/v1/status', { Cookie: 'token=TOKEN' }],
  ['it for a probe only, but asking for details', '/readyz?verbose', {}],
  ['nothing, for the document', '/openapi.json', {}],
])('ADM-59 with %s the door stays shut', async (_, path, fields) => {
  await using office = await openOffice()
  const [file, token] = await withToken(office)
  const to = await office.admin.listenTcp('127.0.0.1', 0, file)
  const fill = (text: string) => text.replace('TOKEN[0:42]', token().slice(0, 42)).replace('TOKEN', token())
  const headers = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, fill(value)]))
  const answer = await office.call('GET', fill(path), { to, headers })
  expect(answer).toMatchObject({
    status: 401,
    headers: { 'www-authenticate': 'Bearer realm="sallyport"' },
    json: { code: 'unauthorized' },
  })
  expect(answer.text).not.toContain(token())
  expect(office.events).toMatchObject([
    { event: 'sallyport.auth.failed', attributes: { 'sallyport.auth.throttled': false } },
  ])
})

test('ADM-60 probes need no token, and learn one word', async () => {
  await using office = await openOffice()
  const [file] = await withToken(office)
  const to = await office.admin.listenTcp('127.0.0.1', 0, file)
  expect((await office.call('GET', '/livez', { to })).json).toEqual({ status: 'ok' })
  expect((await office.call('GET', '/readyz', { to })).json).toEqual({ status: 'ok' })
  expect((await office.call('POST', '/livez', { to })).status).toBe(401)
})

test('ADM-61 whoever guesses is slowed down and does not fill the record; the good token always passes', async () => {
  await using office = await openOffice()
  const [file, token] = await withToken(office)
  const to = await office.admin.listenTcp('127.0.0.1', 0, file)
  const guess = () =>
    office.call('GET', '/v1/status', { to, headers: { Authorization: `Bearer ${'z'.repeat(43)}` } })
  const statuses: number[] = []
  for (let i = 0; i < 30; i++) statuses.push((await guess()).status)
  expect(statuses).toEqual([
    ...Array.from({ length: 10 }, () => 401),
    ...Array.from({ length: 20 }, () => 429),
  ])
  expect(await guess()).toMatchObject({
    status: 429,
    headers: { 'retry-after': '60' },
    json: { code: 'too_many_failures', retry_after: 60 },
  })
  const good = { to, headers: { Authorization: `Bearer ${token()}` } }
  expect((await office.call('GET', '/v1/status', good)).status).toBe(200)
  expect((await guess()).status).toBe(429)
  expect(office.events).toHaveLength(11)
  expect(office.events.at(-1)).toMatchObject({ attributes: { 'sallyport.auth.throttled': true } })
  office.desk.clock.advance(60_000)
  expect((await guess()).status).toBe(401)
  expect(office.events).toHaveLength(12)
})
