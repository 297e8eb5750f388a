import type { Brand } from './brand.ts'

/**
 * Who asks, as far as the proxy can know it: the canonical source address of the connection. Approvals and grants for
 * «this client» are bound to it.
 */
export type ClientId = Brand<string, 'ClientId'>

export interface Client {
  readonly id: ClientId
  readonly address: string
  readonly port: number
}

/** IPv4 clients of a dual-stack listener show as `::ffff:192.0.2.1`; they are the same client as `192.0.2.1`. */
export function clientOf(address: string, port: number): Client {
  const plain = /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(address) ? address.slice(7) : address
  return { id: plain as ClientId, address: plain, port }
}
