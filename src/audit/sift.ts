import type { ExportOutcome } from './exporter.ts'
import type { StoredRecord } from './line.ts'

export interface Blamed {
  readonly record: StoredRecord
  readonly error: Error
}

export type Sifted =
  | {
      readonly kind: 'settled'
      readonly accepted: number
      readonly blamed: readonly Blamed[]
      /** Records that were refused without saying which (partial_success). */
      readonly unnamed: number
    }
  /** The collector went away meanwhile, or nothing shows that it is not itself at fault: all is to be tried again. */
  | {
      readonly kind: 'interrupted'
      readonly accepted: number
      readonly error: Error
      readonly after?: number
    }

/**
 * Halves a batch that was refused until the records that are refused stand alone: at most 2n exports, about 2 log n for
 * the usual one bad record. What is accepted on the way is delivered.
 */
export async function sift(
  records: readonly StoredRecord[],
  refusal: ExportOutcome & { readonly kind: 'refused' | 'failed' },
  send: (records: readonly StoredRecord[]) => Promise<ExportOutcome>,
): Promise<Sifted> {
  const blamed: (Blamed & { readonly sure: boolean })[] = []
  let accepted = 0
  let unnamed = 0
  const left: { records: readonly StoredRecord[]; outcome?: ExportOutcome }[] = [
    { records, outcome: refusal },
  ]
  for (let part = left.pop(); part; part = left.pop()) {
    const { records } = part
    const outcome = part.outcome ?? (await send(records))
    if (outcome.kind === 'accepted') {
      accepted += records.length - outcome.rejected
      unnamed += outcome.rejected
      continue
    }
    if (outcome.kind === 'retry') return { ...outcome, kind: 'interrupted', accepted }
    if (records.length === 1) {
      blamed.push({ record: records[0]!, error: outcome.error, sure: outcome.kind === 'refused' })
      continue
    }
    const half = records.length >> 1
    left.push({ records: records.slice(half) }, { records: records.slice(0, half) })
  }
  const doubtful = blamed.find((each) => !each.sure)
  if (doubtful && accepted === 0) return { kind: 'interrupted', accepted, error: doubtful.error }
  return { kind: 'settled', accepted, blamed, unnamed }
}
