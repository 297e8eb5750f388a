import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { statesOf } from '../../src/config/file-source.ts'
import { createFileWatch } from '../../src/config/watch.ts'
import { systemClock } from '../../src/core/clock.ts'
import { createFakeClock } from '../kit/fake-clock.ts'
import { type ConfigFolder, createConfigFolder } from './folder.ts'

interface Scenario {
  readonly name: string
  /** Returns the path that is followed. */
  readonly prepare: (folder: ConfigFolder) => Promise<string>
  readonly change: (folder: ConfigFolder) => Promise<unknown>
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'a file is written in its place',
    prepare: (folder) => folder.write('a.toml', '1'),
    change: (folder) => folder.write('a.toml', '2'),
  },
  {
    name: 'another file takes its place',
    prepare: (folder) => folder.write('a.toml', '1'),
    change: (folder) => folder.replace('a.toml', '1'),
  },
  {
    name: 'a file is removed',
    prepare: (folder) => folder.write('a.toml', '1'),
    change: (folder) => rm(folder.path('a.toml')),
  },
  {
    name: 'a file appears',
    prepare: async (folder) => folder.path('a.toml'),
    change: (folder) => folder.write('a.toml', '1'),
  },
  {
    name: 'the link beside it is swapped, as Kubernetes does it',
    async prepare(folder) {
      await folder.write('..1/a.toml', '1')
      await folder.write('..2/a.toml', '1')
      await symlink('..1', folder.path('..data'))
      await symlink('..data/a.toml', folder.path('a.toml'))
      return folder.path('a.toml')
    },
    async change(folder) {
      await symlink('..2', folder.path('..data_tmp'))
      await rename(folder.path('..data_tmp'), folder.path('..data'))
    },
  },
  {
    name: 'the file behind a link in another folder is replaced',
    async prepare(folder) {
      await folder.write('real/a.toml', '1')
      await mkdir(folder.path('etc'))
      await symlink('../real/a.toml', folder.path('etc/a.toml'))
      return folder.path('etc/a.toml')
    },
    change: (folder) => folder.replace('real/a.toml', '2'),
  },
  {
    name: 'a link in the middle of the way is replaced',
    async prepare(folder) {
      await folder.write('real/a.toml', '1')
      await folder.write('real/b.toml', '1')
      await mkdir(folder.path('etc'))
      await mkdir(folder.path('middle'))
      await symlink('../real/a.toml', folder.path('middle/a.toml'))
      await symlink('../middle/a.toml', folder.path('etc/a.toml'))
      return folder.path('etc/a.toml')
    },
    async change(folder) {
      await symlink('../real/b.toml', folder.path('middle/next'))
      await rename(folder.path('middle/next'), folder.path('middle/a.toml'))
    },
  },
]

test.each(SCENARIOS)('CFG-110 an event tells at once that $name', async ({ prepare, change }) => {
  await using folder = await createConfigFolder()
  const path = await prepare(folder)
  const changed = Promise.withResolvers<void>()
  let count = 0
  const onChange = () => {
    count++
    changed.resolve()
  }
  // Without polling: only an event, or nothing, can tell.
  using watch = createFileWatch({ clock: systemClock, onChange, settleMs: 1, pollMs: 2_000_000_000 })
  await watch.follow(await statesOf([path]))
  expect(count).toBe(0)
  await change(folder)
  await changed.promise
})

/** A file below a link that is swapped: no folder on the way to the file hears of that. */
async function silentFile(folder: ConfigFolder) {
  for (const version of ['v1', 'v2', 'v3']) await folder.write(`${version}/etc/a.toml`, version)
  await symlink('v1', folder.path('current'))
  return {
    path: folder.path('current/etc/a.toml'),
    async swap(version: string) {
      await symlink(version, folder.path('next'))
      await rename(folder.path('next'), folder.path('current'))
    },
  }
}

test('CFG-111 without any event the next look finds it', async () => {
  await using folder = await createConfigFolder()
  const clock = createFakeClock()
  const file = await silentFile(folder)
  const changes: string[] = []
  const onChange = () => changes.push('change')
  using watch = createFileWatch({ clock, onChange, settleMs: 200, pollMs: 2000 })
  await watch.follow(await statesOf([file.path]))
  await file.swap('v2')
  clock.advance(1999)
  await turn()
  expect([clock.pending, changes.length]).toEqual([1, 0])
  clock.advance(1)
  while (clock.pending < 2) await turn()
  clock.advance(200)
  while (changes.length === 0) await turn()
})

test('CFG-112 what changes again before it has stood still is waited for once more', async () => {
  await using folder = await createConfigFolder()
  const clock = createFakeClock()
  const file = await silentFile(folder)
  const changes: string[] = []
  const onChange = () => changes.push('change')
  using watch = createFileWatch({ clock, onChange, settleMs: 200, pollMs: 2000 })
  await watch.follow(await statesOf([file.path]))
  await file.swap('v2')
  clock.advance(2000)
  while (clock.pending < 2) await turn()
  await file.swap('v3')
  clock.advance(200)
  // It is due, and not the same any more: a new wait begins.
  while (clock.pending < 2) await turn()
  expect(changes).toEqual([])
  clock.advance(200)
  while (changes.length === 0) await turn()
  expect(changes).toEqual(['change'])
})

test('CFG-113 what happened between the reading and the watching is told', async () => {
  await using folder = await createConfigFolder()
  const path = await folder.write('a.toml', '1')
  const states = await statesOf([path])
  await writeFile(path, 'other')
  const changed = Promise.withResolvers<void>()
  using watch = createFileWatch({
    clock: systemClock,
    onChange: changed.resolve,
    settleMs: 1,
    pollMs: 2_000_000_000,
  })
  await watch.follow(states)
  await changed.promise
})
