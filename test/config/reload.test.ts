import { mkdir, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { type LoadResult, loadConfig } from '../../src/config/load.ts'
import { type ReloadOutcome, type ReloaderParts, createReloader } from '../../src/config/reload.ts'
import { createFakeClock } from '../kit/fake-clock.ts'
import { createConfigFolder, loaded } from './folder.ts'

type Outcome = ReloadOutcome

/** Never polls: what is noticed is noticed by events of the file system, or by the look after a load. */
const EVENTS_ONLY = { settleMs: 20, pollMs: 2_000_000_000 }

/** A reloader whose outcomes can be awaited one after the other. */
async function startReloader(
  file: string,
  options: Partial<ReloaderParts> & { load?: () => Promise<LoadResult>; clock?: Clock } = {},
) {
  const load = () => loadConfig(file, {})
  const outcomes: Outcome[] = []
  let heard: PromiseWithResolvers<void> = Promise.withResolvers()
  const hear = (outcome: Outcome) => {
    outcomes.push(outcome)
    heard.resolve()
    heard = Promise.withResolvers()
  }
  const initial = loaded(await load())
  const reloader = createReloader({
    load,
    initial,
    clock: systemClock,
    onSwap: hear,
    onRefused: hear,
    ...EVENTS_ONLY,
    ...options,
  })
  return {
    reloader,
    outcomes,
    /** The next outcome that `wanted` is true of; what came before it stays in `outcomes`. */
    async until(wanted: (outcome: Outcome) => boolean): Promise<Outcome> {
      for (;;) {
        const found = outcomes.find(wanted)
        if (found) return found
        await heard.promise
      }
    },
    [Symbol.dispose]: () => reloader[Symbol.dispose](),
  }
}

const allows = (host: string) => (outcome: Outcome) =>
  outcome.kind === 'swapped' && outcome.snapshot.settings.policy.allowed_domains.includes(host)
const isRefused = (outcome: Outcome) => outcome.kind === 'refused'

test('CFG-90 a reload swaps the snapshot, and says what changed', async () => {
  await using folder = await createConfigFolder()
  await folder.write('list.txt', 'bad.example\n')
  await folder.write(
    'sallyport.toml',
    '[policy]\nallowed_domains = ["a.example", "b.example"]\ndenied_domains_files = ["list.txt"]\n',
  )
  using running = await startReloader(folder.file, { watch: false })
  const before = running.reloader.current
  await folder.write('list.txt', 'bad.example\nworse.example\n')
  await folder.write(
    'sallyport.toml',
    '[policy]\nallowed_domains = ["a.example", "c.example"]\ndenied_domains = ["d.example"]\ndenied_domains_files = ["list.txt"]\n[hold]\nwait = "1s"\n',
  )
  const outcome = await running.reloader.reload()
  if (outcome.kind !== 'swapped') throw new Error('refused')
  expect(outcome.previous).toBe(before)
  expect(running.reloader.current).toBe(outcome.snapshot)
  expect(outcome.snapshot.version).not.toBe(before.version)
  expect(outcome.change).toEqual({
    allowed: { before: 2, after: 2, added: ['c.example'], removed: ['b.example'] },
    denied: { before: 1, after: 3, added: ['d.example'], removed: [] },
    lists: [folder.path('list.txt')],
    settings: ['policy.allowed_domains', 'policy.denied_domains', 'hold.wait'],
    restart: [],
    isEmpty: false,
  })
  // The old snapshot is untouched: an exchange that began with it ends with it.
  expect(before.settings.policy.allowed_domains).toEqual(['a.example', 'b.example'])
  expect(before.counts).toEqual({ allowed: 2, denied: 1 })
})

test('CFG-91 a reload without a change says so and keeps the version', async () => {
  await using folder = await createConfigFolder()
  await folder.write('sallyport.toml', '[policy]\nallowed_domains = ["a.example"]\n')
  using running = await startReloader(folder.file, { watch: false })
  const { version } = running.reloader.current
  await folder.write('sallyport.toml', '# moved\n\n[policy]\nallowed_domains = ["a.example"]\n')
  const outcome = await running.reloader.reload()
  expect(outcome).toMatchObject({ kind: 'swapped', change: { isEmpty: true }, snapshot: { version } })
  // Lines have moved, so `explain` must point at the new ones.
  expect(running.reloader.current.origins.get('policy.allowed_domains')?.line).toBe(4)
})

test('CFG-92 a broken file is refused with its problems, and the old snapshot stays', async () => {
  await using folder = await createConfigFolder()
  await folder.write('sallyport.toml', '[policy]\nallowed_domains = ["a.example"]\n')
  using running = await startReloader(folder.file, { watch: false })
  const before = running.reloader.current
  for (const text of [
    '[policy',
    '[policy]\nunfamiliar = "x"\n',
    '[policy]\nallowed_domains = ["b.example", "a b"]\n',
    '',
  ]) {
    await folder.write('sallyport.toml', text)
    const outcome = await running.reloader.reload()
    expect(outcome).toMatchObject({ kind: 'refused', problems: [{ file: folder.file }] })
    expect(outcome.snapshot).toBe(before)
    expect(running.reloader.current).toBe(before)
  }
  await unlink(folder.file)
  expect(await running.reloader.reload()).toMatchObject({
    kind: 'refused',
    problems: [{ problem: 'there is no such file' }],
  })
  expect(running.reloader.current).toBe(before)
  expect(running.outcomes.map(({ kind }) => kind)).toEqual(Array.from({ length: 5 }, () => 'refused'))
})

test('CFG-93 a loader that fails in a way of its own is refused too', async () => {
  await using folder = await createConfigFolder()
  await folder.write('sallyport.toml', '# one\n')
  using running = await startReloader(folder.file, {
    watch: false,
    load: () => Promise.reject(new Error('a fault')),
  })
  const before = running.reloader.current
  const outcome = await running.reloader.reload()
  expect(outcome).toMatchObject({
    kind: 'refused',
    problems: [{ problem: expect.stringContaining('a fault') }],
  })
  expect(running.reloader.current).toBe(before)
})

test('CFG-94 what needs a restart is named and not applied; the rest is', async () => {
  await using folder = await createConfigFolder()
  await folder.write('sallyport.toml', '[proxy]\nlisten = "127.0.0.1:1111"\n')
  using running = await startReloader(folder.file, { watch: false })
  const before = running.reloader.current.settings
  await folder.write(
    'sallyport.toml',
    'state_dir = "elsewhere"\n[proxy]\nlisten = "127.0.0.1:2222"\n[admin]\nlisten = "127.0.0.1:3333"\n[hold]\nwait = "1s"\n',
  )
  const outcome = await running.reloader.reload()
  if (outcome.kind !== 'swapped') throw new Error('refused')
  expect(outcome.change.restart).toEqual([
    'state_dir',
    'proxy.listen',
    'admin.socket',
    'admin.listen',
    'admin.token_file',
    'audit.dir',
  ])
  expect(outcome.change.settings).toEqual(['hold.wait'])
  expect(running.reloader.current.settings).toEqual({ ...before, hold: { ...before.hold, wait: 1000 } })
  expect(running.reloader.current.origins.get('proxy.listen')?.line).toBe(2)
  // It is said again at each reload, for as long as it waits.
  const again = await running.reloader.reload()
  expect(again).toMatchObject({ change: { restart: outcome.change.restart, settings: [] } })
})

test('CFG-95 reloads run one at a time, and one that is asked for during another begins after it', async () => {
  await using folder = await createConfigFolder()
  await folder.write('sallyport.toml', '[policy]\nallowed_domains = ["one.example"]\n')
  let atOnce = 0
  let most = 0
  let loads = 0
  const gate = Promise.withResolvers<void>()
  using running = await startReloader(folder.file, {
    watch: false,
    async load() {
      loads++
      most = Math.max(most, ++atOnce)
      const result = await loadConfig(folder.file, {})
      if (loads === 1) await gate.promise
      atOnce--
      return result
    },
  })
  const first = running.reloader.reload()
  await turn()
  await folder.write('sallyport.toml', '[policy]\nallowed_domains = ["two.example"]\n')
  const rest = [running.reloader.reload(), running.reloader.reload(), running.reloader.reload()]
  gate.resolve()
  await first
  for (const outcome of await Promise.all(rest)) expect(allows('two.example')(outcome)).toBe(true)
  expect([loads, most]).toEqual([2, 1])
})

test('CFG-96 a file that is written, or replaced as editors do it, is loaded by itself', async () => {
  await using folder = await createConfigFolder()
  await folder.write('sallyport.toml', '[policy]\nallowed_domains = ["a.example"]\n')
  using running = await startReloader(folder.file)
  await folder.write('sallyport.toml', '[policy]\nallowed_domains = ["written.example"]\n')
  await running.until(allows('written.example'))
  for (const name of ['one', 'two', 'three']) {
    await folder.replace('sallyport.toml', `[policy]\nallowed_domains = ["${name}.example"]\n`)
    await running.until(allows(`${name}.example`))
  }
  expect(running.reloader.current.settings.policy.allowed_domains).toEqual(['three.example'])
})

test('CFG-97 a file that is removed and comes back is loaded, and is refused in between', async () => {
  await using folder = await createConfigFolder()
  await folder.write('sallyport.toml', '[policy]\nallowed_domains = ["a.example"]\n')
  using running = await startReloader(folder.file)
  await unlink(folder.file)
  await running.until(isRefused)
  expect(running.reloader.current.settings.policy.allowed_domains).toEqual(['a.example'])
  await folder.write('sallyport.toml', '[policy]\nallowed_domains = ["back.example"]\n')
  await running.until(allows('back.example'))
  expect(running.outcomes.filter(isRefused)).toHaveLength(1)
})

test('CFG-98 the swap of a link, as Kubernetes does it, is loaded by itself', async () => {
  await using folder = await createConfigFolder()
  await folder.write('..1/sallyport.toml', '[policy]\nallowed_domains = ["one.example"]\n')
  await symlink('..1', folder.path('..data'))
  await symlink('..data/sallyport.toml', folder.file)
  using running = await startReloader(folder.file)
  for (const [number, name] of [
    ['..2', 'two'],
    ['..3', 'three'],
  ]) {
    await folder.write(`${number}/sallyport.toml`, `[policy]\nallowed_domains = ["${name}.example"]\n`)
    await symlink(number!, folder.path('..data_tmp'))
    await rename(folder.path('..data_tmp'), folder.path('..data'))
    await running.until(allows(`${name}.example`))
  }
})

test('CFG-99 a link to a file in another folder is followed: what happens there is loaded by itself', async () => {
  await using folder = await createConfigFolder()
  await folder.write('real/policy.toml', '[policy]\nallowed_domains = ["a.example"]\n')
  await symlink('real/policy.toml', folder.path('middle.toml'))
  await mkdir(folder.path('etc'))
  await symlink('../middle.toml', folder.path('etc/sallyport.toml'))
  using running = await startReloader(folder.path('etc/sallyport.toml'))
  await folder.replace('real/policy.toml', '[policy]\nallowed_domains = ["b.example"]\n')
  await running.until(allows('b.example'))
})

test('CFG-100 a list file that changes is loaded by itself, also one that a reload has brought', async () => {
  await using folder = await createConfigFolder()
  await folder.write('lists/one.txt', 'bad.example\n')
  await folder.write('more/two.txt', 'bad.example\n')
  const text = (files: string) => `[policy]\ndenied_domains_files = [${files}]\n`
  await folder.write('sallyport.toml', text('"lists/one.txt"'))
  using running = await startReloader(folder.file)
  const denies = (count: number) => (outcome: Outcome) => outcome.snapshot.counts.denied === count
  await folder.write('lists/one.txt', 'bad.example\nworse.example\n')
  await running.until(denies(2))
  await folder.write('sallyport.toml', text('"lists/one.txt", "more/two.txt"'))
  await running.until((outcome) => outcome.snapshot.files.length === 3)
  await folder.replace('more/two.txt', 'bad.example\nworse.example\nworst.example\n')
  await running.until(denies(3))
})

test('CFG-101 what changes while a file is being loaded is loaded next, also in a folder that nobody watched yet', async () => {
  await using folder = await createConfigFolder()
  await folder.write('new/list.txt', 'bad.example\n')
  await folder.write('sallyport.toml', '# empty\n')
  let isFirst = true
  using running = await startReloader(folder.file, {
    async load() {
      const result = await loadConfig(folder.file, {})
      if (!isFirst) return result
      isFirst = false
      // After it was read, before anybody watches its folder.
      await folder.write('new/list.txt', 'bad.example\nworse.example\n')
      return result
    },
  })
  await folder.write('sallyport.toml', '[policy]\ndenied_domains_files = ["new/list.txt"]\n')
  await running.until((outcome) => outcome.snapshot.counts.denied === 2)
  expect(running.outcomes[0]!.snapshot.counts.denied).toBe(1)
})

test('CFG-102 a file is loaded when it has stood still, so that nobody takes half of it', async () => {
  await using folder = await createConfigFolder()
  const clock = createFakeClock()
  await folder.write('sallyport.toml', '# start\n')
  using running = await startReloader(folder.file, { clock, settleMs: 200, pollMs: 1000 })
  const isSettling = async () => {
    while (clock.pending < 2) await turn()
  }
  await folder.write('sallyport.toml', '[policy]\nallowed_domains = ["half.exam')
  await isSettling()
  clock.advance(199)
  expect(running.outcomes).toEqual([])
  await folder.write('sallyport.toml', '[policy]\nallowed_domains = ["whole.example"]\n')
  // Due now, but it has changed since: the wait begins anew.
  clock.advance(1)
  await isSettling()
  expect(running.outcomes).toEqual([])
  while (running.outcomes.length === 0) {
    clock.advance(200)
    await turn()
  }
  expect(running.outcomes.map(allows('whole.example'))).toEqual([true])
})

test('CFG-103 other files in the folder, however busy, cause no reload', async () => {
  await using folder = await createConfigFolder()
  await folder.write('sallyport.toml', '[policy]\nallowed_domains = ["a.example"]\n')
  using running = await startReloader(folder.file, { settleMs: 1 })
  for (let i = 0; i < 50; i++) await folder.write('audit.ndjson', 'x'.repeat(i))
  await folder.replace('sallyport.toml', '[policy]\nallowed_domains = ["b.example"]\n')
  await running.until(allows('b.example'))
  expect(running.outcomes).toHaveLength(1)
})

test.each([
  ['is broken', (path: string) => writeFile(path, '[policy')],
  ['is a folder', (path: string) => mkdir(path)],
  ['is a link that leads in a circle', (path: string) => symlink('sallyport.toml', path)],
  ['leads nowhere', (path: string) => symlink('nowhere', path)],
])('CFG-104 a file that %s and stays so is refused once, not again and again', async (_, make) => {
  await using folder = await createConfigFolder()
  const clock = createFakeClock()
  await folder.write('sallyport.toml', '# fine\n')
  using running = await startReloader(folder.file, { clock, settleMs: 200, pollMs: 1000 })
  const passTime = async () => {
    clock.advance(1000)
    for (let i = 0; i < 5; i++) await turn()
  }
  await make(folder.path('other'))
  await rm(folder.file)
  await rename(folder.path('other'), folder.file)
  while (running.outcomes.length === 0) await passTime()
  for (let i = 0; i < 20; i++) await passTime()
  expect(running.outcomes.map(({ kind }) => kind)).toEqual(['refused'])
  await rm(folder.file, { recursive: true })
  await folder.replace('sallyport.toml', '[policy]\nallowed_domains = ["fixed.example"]\n')
  while (!running.outcomes.some(allows('fixed.example'))) await passTime()
})

test('CFG-105 after its end nothing is loaded and nothing is watched', async () => {
  await using folder = await createConfigFolder()
  const clock = createFakeClock()
  await folder.write('sallyport.toml', '# fine\n')
  const running = await startReloader(folder.file, { clock })
  running[Symbol.dispose]()
  await folder.replace('sallyport.toml', '[policy]\nallowed_domains = ["b.example"]\n')
  for (let i = 0; i < 50; i++) await turn()
  expect(clock.pending).toBe(0)
  expect(running.outcomes).toEqual([])
})
