import type { Rule } from '../core/decision.ts'
import type { IpAddress } from '../core/ip-address.ts'
import { type Network, masked } from './network.ts'

interface Length {
  readonly family: 4 | 6
  readonly bits: number
  readonly networks: Map<string, Rule>
}

/** Networks by the length of their prefix, longest first: one lookup for each length that occurs. */
export class NetworkIndex {
  readonly #lengths: Length[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Of equal networks with equal ports the first stays. */
  add(network: Network, port: number, rule: Rule): void {
    const { family, bits } = network
    let length = this.#lengths.find((each) => each.family === family && each.bits === bits)
    if (!length) {
      length = { family, bits, networks: new Map() }
      this.#lengths.push(length)
      this.#lengths.sort((one, other) => other.bits - one.bits)
    }
    const key = keyOf(network.bytes, port)
    if (length.networks.has(key)) return
    length.networks.set(key, rule)
    this.#size++
  }

  /** The rule with exactly this port (0: for every port) and the longest prefix that contains the address. */
  find(address: IpAddress, port: number): Rule | undefined {
    for (const { family, bits, networks } of this.#lengths) {
      if (family !== address.family) continue
      const rule = networks.get(keyOf(masked(address.bytes, bits), port))
      if (rule) return rule
    }
    return undefined
  }
}

function keyOf(bytes: Uint8Array, port: number): string {
  return `${String.fromCharCode(...bytes)}${port}`
}
