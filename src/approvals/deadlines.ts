import type { Alarm, Clock } from '../core/clock.ts'

export interface Deadlines {
  /** Calls `due` once, when `ms` milliseconds (from now, not below 0) have passed. */
  after(ms: number, due: () => void): Alarm
  /** Drops all of them. */
  clear(): void
}

interface Entry {
  readonly at: number
  readonly due: () => void
  cancelled: boolean
}

/** Any number of deadlines on one alarm of the clock: thousands of held exchanges cost one timer. */
export function createDeadlines(clock: Clock): Deadlines {
  // A binary heap, the earliest first. Cancelled entries stay until they surface, or until they are the majority.
  let heap: Entry[] = []
  let cancelled = 0
  let alarm: { readonly at: number; readonly set: Alarm } | undefined

  function arm(): void {
    const next = heap[0]
    if (alarm && (!next || next.at < alarm.at)) {
      alarm.set.cancel()
      alarm = undefined
    }
    if (next && !alarm) alarm = { at: next.at, set: clock.after(next.at - clock.monotonic(), ring) }
  }

  function ring(): void {
    alarm = undefined
    const now = clock.monotonic()
    const due: Entry[] = []
    for (let next = heap[0]; next && (next.cancelled || next.at <= now); next = heap[0]) {
      pop()
      if (next.cancelled) cancelled--
      else due.push(next)
    }
    // An entry may be cancelled by one that falls due just before it.
    for (const entry of due) {
      if (entry.cancelled) continue
      entry.cancelled = true
      entry.due()
    }
    arm()
  }

  function push(entry: Entry): void {
    heap.push(entry)
    rise(heap, heap.length - 1)
  }

  function pop(): void {
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    heap[0] = last
    sink(heap, 0)
  }

  function compact(): void {
    heap = heap.filter((entry) => !entry.cancelled)
    cancelled = 0
    for (let i = (heap.length >> 1) - 1; i >= 0; i--) sink(heap, i)
  }

  return {
    after(ms, due) {
      const entry: Entry = { at: clock.monotonic() + Math.max(0, ms), due, cancelled: false }
      push(entry)
      arm()
      return {
        cancel() {
          if (entry.cancelled) return
          entry.cancelled = true
          cancelled++
          if (cancelled > 64 && cancelled > heap.length / 2) compact()
        },
      }
    },
    clear() {
      for (const entry of heap) entry.cancelled = true
      heap = []
      cancelled = 0
      arm()
    },
  }
}

function rise(heap: Entry[], from: number): void {
  const entry = heap[from]!
  let i = from
  while (i > 0) {
    const parent = (i - 1) >> 1
    if (heap[parent]!.at <= entry.at) break
    heap[i] = heap[parent]!
    i = parent
  }
  heap[i] = entry
}

function sink(heap: Entry[], from: number): void {
  const entry = heap[from]!
  let i = from
  for (;;) {
    let child = 2 * i + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child++
    if (heap[child]!.at >= entry.at) break
    heap[i] = heap[child]!
    i = child
  }
  heap[i] = entry
}
