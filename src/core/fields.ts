/** One field line of a message, in the order and the spelling in which it came (RFC 9110 §5). */
export interface Field {
  /** As sent. */
  readonly name: string
  /** The name in lower case, which is what is compared. */
  readonly key: string
  /** Without leading and trailing white space. Each character is one byte (latin1), so 8-bit bytes survive. */
  readonly value: string
}

export function field(name: string, value: string): Field {
  return { name, key: name.toLowerCase(), value }
}

/** The value of the first field with this name in lower case, or undefined. */
export function firstValue(fields: readonly Field[], key: string): string | undefined {
  for (const each of fields) if (each.key === key) return each.value
  return undefined
}

/** The members of a comma-separated list field over all its lines, in lower case, without empty ones. */
export function listMembers(fields: readonly Field[], key: string): string[] {
  const members: string[] = []
  for (const each of fields) {
    if (each.key !== key) continue
    for (const member of each.value.split(',')) {
      const trimmed = member.trim().toLowerCase()
      if (trimmed !== '') members.push(trimmed)
    }
  }
  return members
}

/**
 * Fields that concern one hop only (RFC 9110 §7.6.1). `te` and `upgrade` go as well: whoever forwards an upgrade adds
 * its own. Everything that begins with `proxy-` is addressed to this proxy, or pretends to come from it: credentials in
 * `proxy-authorization` must never reach an origin, a `proxy-status` of an origin never a client.
 */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])

/** Fields that a Connection field may not take away: they say what the message is and whom it is for. */
const NEVER_NOMINATED: ReadonlySet<string> = new Set(['host', 'content-length', 'via', 'date'])

/** The fields that go on to the next hop: all but the hop-by-hop ones and those that Connection nominates. */
export function endToEndFields(fields: readonly Field[]): Field[] {
  let nominated: string[] | undefined
  for (const each of fields) {
    if (each.key === 'connection') {
      nominated = listMembers(fields, 'connection')
      break
    }
  }
  const kept: Field[] = []
  for (const each of fields) {
    if (HOP_BY_HOP.has(each.key) || each.key.startsWith('proxy-')) continue
    if (nominated !== undefined && nominated.includes(each.key) && !NEVER_NOMINATED.has(each.key)) continue
    kept.push(each)
  }
  return kept
}
