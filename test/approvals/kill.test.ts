import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Approvals, createApprovals } from '../../src/approvals/approvals.ts'
import { DEFAULT_APPROVAL_SETTINGS } from '../../src/approvals/settings.ts'
import { APPROVAL_MIGRATIONS } from '../../src/approvals/store.ts'
import { systemClock } from '../../src/core/clock.ts'
import { openDatabase } from '../../src/storage/sqlite.ts'
import { client, patient, question } from './desk.ts'

let dir: string
let file: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'approvals-kill-'))
  file = join(dir, 'approvals.db')
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const source = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).pathname)

/** Runs `body` in a process of its own, with approvals on the same file, until it kills itself. */
function runUntilKilled(body: string): string {
  const script = `
    import { createApprovals } from ${source('approvals/approvals.ts')}
    import { DEFAULT_APPROVAL_SETTINGS } from ${source('approvals/settings.ts')}
    import { APPROVAL_MIGRATIONS } from ${source('approvals/store.ts')}
    import { parseAuthority } from ${source('core/authority.ts')}
    import { clientOf } from ${source('core/client.ts')}
    import { systemClock } from ${source('core/clock.ts')}
    import { openDatabase } from ${source('storage/sqlite.ts')}
    import { writeSync } from 'node:fs'
    const approvals = createApprovals({
      database: openDatabase({ file: ${JSON.stringify(file)}, migrations: APPROVAL_MIGRATIONS }),
      clock: systemClock, emit: () => {}, settings: () => DEFAULT_APPROVAL_SETTINGS, onTrouble: console.error,
    })
    const question = (target) => ({ client: clientOf('192.0.2.1', 4000), authority: parseAuthority(target),
      door: 'connect', method: 'CONNECT', exchange: 'abc' })
    const ask = (target) => approvals.ask(question(target), new AbortController().signal)
      .then((outcome) => writeSync(1, 'woke ' + outcome.kind + '\\n'))
    const turn = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    const die = () => { process.kill(process.pid, 'SIGKILL'); for (;;); }
    const by = { via: 'socket', name: 'alice' }
    ${body}`
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  expect(child.stderr).toBe('')
  expect(child.signal).toBe('SIGKILL')
  return child.stdout
}

function reopen(): { approvals: Approvals } & AsyncDisposable {
  const database = openDatabase({ file, migrations: APPROVAL_MIGRATIONS })
  const approvals = createApprovals({
    database,
    clock: systemClock,
    emit: () => {},
    settings: () => DEFAULT_APPROVAL_SETTINGS,
    onTrouble: (error) => expect.unreachable(error.message),
  })
  return {
    approvals,
    async [Symbol.asyncDispose]() {
      await approvals[Symbol.asyncDispose]()
      database.close()
    },
  }
}

test('HOLD-60 kill -9 between the answer and the waking of the waiter: the answer counts for the retry', async () => {
  const out = runUntilKilled(`
    ask('example.com:443')
    await turn()
    const outcome = approvals.answer(approvals.list()[0].id, { verdict: 'allow', forMs: 3600000, by })
    writeSync(1, outcome.kind + '\\n')
    die() // in the same turn: nobody has woken yet`)
  expect(out).toBe('answered\n')
  await using after = reopen()
  const retry = await after.approvals.ask(question('example.com:443'), patient())
  expect(retry).toMatchObject({ kind: 'allow', heldMs: 0, by: 'alice via socket' })
  expect(after.approvals.list({ status: 'answered' })).toMatchObject([
    { status: 'answered', answer: { verdict: 'allow', released: 1 } },
  ])
})

test('HOLD-61 kill -9 loses neither an open approval nor a grant, and a used once stays used', async () => {
  runUntilKilled(`
    for (const target of ['held.example:443', 'kept.example:443', 'once.example:443', 'gone.example:443']) {
      const leaving = new AbortController()
      const asked = approvals.ask(question(target), leaving.signal)
      leaving.abort()
      await asked
    }
    const id = (host) => approvals.list().find((each) => each.authority.host.text === host).id
    approvals.answer(id('kept.example'), { verdict: 'allow', scope: 'session', by })
    approvals.answer(id('once.example'), { verdict: 'allow', by })
    approvals.consume(approvals.findGrant('192.0.2.1', parseAuthority('once.example:443')).grant)
    approvals.answer(id('gone.example'), { verdict: 'allow', scope: 'always', by })
    approvals.revoke(approvals.grants().at(-1).id, by)
    die()`)
  await using after = reopen()
  expect(after.approvals.list().map((each) => each.authority.host.text)).toEqual(['held.example'])
  expect(after.approvals.grants()).toMatchObject([
    { scope: 'session', authority: { host: { text: 'kept.example' } } },
  ])
  expect(
    after.approvals.findGrant(client('192.0.2.1'), question('once.example:443').authority),
  ).toBeUndefined()
})

test('HOLD-62 kill -9 at any moment of a busy time leaves a store that opens, with every answer that was given', async () => {
  for (const moment of [0, 3, 11]) {
    const out = runUntilKilled(`
      for (let i = 0; ; i++) {
        ask('host-' + i + '-${moment}.example:443')
        const [open] = approvals.list().slice(-1)
        const outcome = approvals.answer(open.id, { verdict: 'allow', forMs: 3600000, by })
        writeSync(1, 'granted ' + outcome.grant.id + '\\n')
        if (i === ${moment}) setImmediate(die)
        if (i % 4 === 3) await turn()
      }`)
    const granted = [...out.matchAll(/^granted (\S+)$/gm)].map((match) => match[1])
    expect(granted.length).toBeGreaterThan(moment)
    await using after = reopen()
    const kept = new Set(after.approvals.grants().map((grant) => grant.id))
    expect(granted.filter((id) => !kept.has(id!))).toEqual([])
  }
})
