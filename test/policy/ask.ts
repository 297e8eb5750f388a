import { parseAuthority } from '../../src/core/authority.ts'
import { clientOf } from '../../src/core/client.ts'
import type { Decision } from '../../src/core/decision.ts'
import type { GrantFinder } from '../../src/core/grant.ts'
import { type IpAddress, parseIpAddress } from '../../src/core/ip-address.ts'
import { decide } from '../../src/policy/decide.ts'
import { type CompiledPolicy, type Policy, type PolicyInput, compilePolicy } from '../../src/policy/policy.ts'

/** What a test says of a policy; the rest is as in the defaults, and nothing is allowed. */
export interface Lists {
  allowed?: readonly string[]
  denied?: readonly string[]
  /** Texts of list files, which are called `list-1.txt`, `list-2.txt`, … */
  files?: readonly string[]
  ports?: readonly number[]
  unfamiliar?: PolicyInput['unfamiliar']
  private?: readonly { host: string; cidr: string; ports: readonly number[] }[]
  own?: PolicyInput['own']
  local?: readonly string[]
}

const FILE = 'sallyport.toml'

/** Entry n of each list stands in line n of `sallyport.toml`. */
export function compile(lists: Lists): CompiledPolicy {
  const entries = (texts: readonly string[] = []) =>
    texts.map((text, i) => ({ text, source: { file: FILE, line: i + 1 } }))
  return compilePolicy({
    allowed: entries(lists.allowed),
    denied: entries(lists.denied),
    deniedFiles: (lists.files ?? []).map((text, i) => ({
      file: `list-${i + 1}.txt`,
      bytes: Buffer.from(text),
    })),
    allowedPorts: lists.ports ?? [80, 443],
    unfamiliar: lists.unfamiliar ?? 'hold',
    private: (lists.private ?? []).map((each, i) => ({ ...each, source: { file: FILE, line: i + 1 } })),
    own: lists.own ?? [],
    localAddresses: lists.local ?? [],
  })
}

/** The policy; throws where the lists have problems. */
export function policyOf(lists: Lists): Policy {
  const { policy, problems } = compile(lists)
  if (problems.length > 0) throw new Error(JSON.stringify(problems, undefined, 2))
  return policy
}

export const CLIENT = clientOf('127.0.0.1', 40_000).id

export const noGrant: GrantFinder = () => undefined

/** Asks about `host` or `host:port` (443 where it is left out). */
export function ask(
  policy: Policy,
  target: string,
  addresses?: readonly string[],
  findGrant: GrantFinder = noGrant,
): Decision {
  const question = { authority: parseAuthority(target, 443), client: CLIENT }
  return decide(
    policy,
    addresses === undefined ? question : { ...question, addresses: addresses.map(address) },
    findGrant,
  )
}

/** The decision in a few words: `allow`, `hold`, or the reason of a denial. */
export function verdict(decision: Decision): string {
  return decision.kind === 'deny' ? decision.reason : decision.kind
}

export function address(text: string): IpAddress {
  const parsed = parseIpAddress(text)
  if (!parsed) throw new Error(`not an address: ${text}`)
  return parsed
}

/** Rows of target and expected verdict, and the rows that came out otherwise. */
export function surprises(
  policy: Policy,
  rows: readonly (readonly [target: string, expected: string, addresses?: readonly string[]])[],
): string[] {
  return rows.flatMap(([target, expected, addresses]) => {
    const actual = verdict(ask(policy, target, addresses))
    return actual === expected ? [] : [`${target} ${addresses?.join(' ') ?? ''}: ${actual}, not ${expected}`]
  })
}
