import { parseAuthority, authorityText, InvalidTarget } from '../core/authority.ts'
import type { Layers } from './layers.ts'
import { isLoopback, listenAddressText } from './listen-address.ts'
import { placeOf } from './issues.ts'
import { type ConfigProblem, fieldText, shownValue } from './problems.ts'
import type { Settings } from './schema.ts'

/** What a rule says of the settings; `undefined` where it has nothing to object to. */
interface Objection {
  readonly path: readonly PropertyKey[]
  readonly value?: string
  readonly problem: string
  readonly remedy: string
}

/** Longest path of a Unix socket in bytes: sun_path without the NUL that ends it. */
const SOCKET_PATH_LIMIT = process.platform === 'darwin' ? 103 : 107

const CHECKS: readonly { of: readonly string[]; check: (settings: Settings) => Objection[] }[] = [
  { of: ['proxy.listen', 'proxy.allow_non_loopback'], check: beyondLoopback },
  { of: ['proxy.listen', 'admin.listen'], check: oneSocketTwice },
  { of: ['state_dir', 'admin.socket'], check: socketTooLong },
  { of: ['tunnel.raw'], check: rawTargets },
]

/**
 * What single settings cannot know: whether they agree with each other and with the machine. Paths are absolute here.
 * A check is left out where a setting that it is about is wrong already (`repaired`).
 */
export function checkSettings(
  settings: Settings,
  layers: Layers,
  repaired: ReadonlySet<string>,
): ConfigProblem[] {
  return CHECKS.filter(({ of }) => !of.some((key) => repaired.has(key)))
    .flatMap(({ check }) => check(settings))
    .map(({ path, value, problem, remedy }) => ({
      ...placeOf(layers.originOf(path)),
      field: fieldText(path),
      ...(value !== undefined && { value }),
      problem,
      remedy,
    }))
}

function beyondLoopback({ proxy }: Settings): Objection[] {
  if (proxy.allow_non_loopback || isLoopback(proxy.listen.address)) return []
  return [
    {
      path: ['proxy', 'listen'],
      value: quoted(listenAddressText(proxy.listen)),
      problem: 'other machines could use the proxy, and it does not ask them who they are',
      remedy: `write "127.0.0.1:${proxy.listen.port}", or set proxy.allow_non_loopback = true where the network decides who gets there`,
    },
  ]
}

function oneSocketTwice({ proxy, admin }: Settings): Objection[] {
  if (!admin.listen || admin.listen.port === 0 || admin.listen.port !== proxy.listen.port) return []
  const { address } = proxy.listen
  if (address !== admin.listen.address && address !== '0.0.0.0' && address !== '::') return []
  return [
    {
      path: ['admin', 'listen'],
      value: quoted(listenAddressText(admin.listen)),
      problem: 'it is where the proxy listens',
      remedy: 'choose another port',
    },
  ]
}

function socketTooLong({ admin }: Settings): Objection[] {
  const length = Buffer.byteLength(admin.socket)
  if (length <= SOCKET_PATH_LIMIT) return []
  return [
    {
      path: ['admin', 'socket'],
      value: quoted(admin.socket),
      problem: `as an absolute path it has ${length} bytes, and a Unix socket may have ${SOCKET_PATH_LIMIT}`,
      remedy: 'write a shorter absolute path, such as "/run/sallyport/admin.sock"',
    },
  ]
}

function rawTargets({ tunnel }: Settings): Objection[] {
  return tunnel.raw.flatMap((text, i) => {
    const path = ['tunnel', 'raw', i]
    const remedy = 'write one host and its port, such as "ssh.github.com:443"'
    try {
      parseAuthority(text)
      return []
    } catch (error) {
      if (!(error instanceof InvalidTarget)) throw error
      return [{ path, value: quoted(text), problem: error.problem, remedy }]
    }
  })
}

/** `tunnel.raw` in the one spelling in which targets are compared. */
export function canonicalRaw(settings: Settings): Settings {
  const raw = settings.tunnel.raw.map((text) => authorityText(parseAuthority(text)))
  return { ...settings, tunnel: { ...settings.tunnel, raw } }
}

function quoted(text: string): string {
  return shownValue(text) ?? ''
}
