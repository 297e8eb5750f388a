import type { SourceLocation } from '../core/decision.ts'

/** Something in the input that cannot be meant, or (as a warning) that probably is not. */
export interface PolicyProblem {
  /** The setting as it is called in the file: `allowed_domains`, `denied_domains_files`, … */
  readonly field: string
  readonly value: string
  readonly source: SourceLocation | undefined
  readonly problem: string
  readonly remedy: string
}
