import type { Authority } from '../core/authority.ts'
import type { ProxyError, Trouble } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import type { Field } from '../core/fields.ts'
import type { RequestHead } from '../http1/request-reader.ts'
import type { Origin } from '../upstream/origins.ts'
import type { Pulse } from '../wire/pulse.ts'
import type { ClientSession } from './session.ts'

export interface RelayLimits {
  /** Milliseconds from the end of the request to the head of the response. */
  readonly responseTimeout: number
  /** Milliseconds without a byte of content either way. */
  readonly bodyIdleTimeout: number
}

export interface RelayParts {
  readonly session: ClientSession
  readonly head: RequestHead
  /** The request target in origin-form, as the client sent it. */
  readonly path: string
  readonly authority: Authority
  readonly exchange: Exchange
  readonly origin: Origin
  readonly via: Field
  readonly pulse: Pulse
  readonly limits: () => RelayLimits
  readonly isDraining: () => boolean
}

export type RelayOutcome =
  | { readonly kind: 'done'; readonly reuse: boolean; readonly keepClient: boolean }
  /** 101 was sent to the client; `rest` is what the origin sent behind it. */
  | { readonly kind: 'upgraded'; readonly rest: Buffer }
  /** A kept connection was dead and the request may be sent again. */
  | { readonly kind: 'retry' }
  /** Nothing was sent to the client yet. */
  | { readonly kind: 'failed'; readonly error: ProxyError }
  /** Something was. */
  | { readonly kind: 'cut'; readonly trouble: Trouble }
