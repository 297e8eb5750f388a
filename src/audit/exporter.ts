import type { StoredRecord } from './line.ts'

/** How a collector took a batch (OTLP specification, «Failures»). */
export type ExportOutcome =
  | {
      readonly kind: 'accepted'
      /** Records that it refused for good although it accepted the batch (partial_success), without saying which. */
      readonly rejected: number
      readonly message: string
    }
  | {
      /** Nothing is wrong with the records: the collector is away, overloaded, or does not know us. */
      readonly kind: 'retry'
      readonly error: Error
      /** Milliseconds, where the collector said how long to wait. */
      readonly after?: number
    }
  /**
   * The specification calls it permanent, but it may as well be the collector that is broken (500, INTERNAL): the
   * records are blamed only where the collector takes others at the same time.
   */
  | { readonly kind: 'failed'; readonly error: Error }
  /** The collector will never take these records. */
  | { readonly kind: 'refused'; readonly error: Error }

export interface Exporter extends AsyncDisposable {
  /** Sends a batch once. Never rejects; an abort is an outcome to try again. */
  export(records: readonly StoredRecord[], signal: AbortSignal): Promise<ExportOutcome>
}
