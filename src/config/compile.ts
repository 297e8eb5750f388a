import type { SourceLocation } from '../core/decision.ts'
import { type CompiledPolicy, type OwnListener, type PolicyInput, compilePolicy } from '../policy/policy.ts'
import type { PolicyProblem } from '../policy/problem.ts'
import { placeOf } from './issues.ts'
import type { Layers, Origin } from './layers.ts'
import { type ConfigProblem, fieldText, shownValue } from './problems.ts'
import type { Settings } from './schema.ts'

export interface PolicyParts {
  readonly settings: Settings
  readonly layers: Layers
  readonly deniedFiles: PolicyInput['deniedFiles']
  /** Where the proxy listens in fact, beside what the settings say (a port 0 became a port when it was bound). */
  readonly own: readonly OwnListener[]
  readonly localAddresses: readonly string[]
}

export interface Compiled {
  readonly policy: CompiledPolicy['policy']
  readonly problems: readonly ConfigProblem[]
  readonly warnings: readonly ConfigProblem[]
}

/** Compiles the policy of the settings; its problems get the fields and columns that the policy does not know. */
export function compileSettings(parts: PolicyParts): Compiled {
  const { settings, layers } = parts
  const places = new Map<SourceLocation, Place>()
  const place = (path: readonly PropertyKey[]): SourceLocation => {
    const origin = layers.originOf(path)
    const source = { file: origin.file, line: origin.line }
    places.set(source, { origin, path })
    return source
  }
  const entries = (list: 'allowed_domains' | 'denied_domains') =>
    settings.policy[list].map((text, i) => ({ text, source: place(['policy', list, i]) }))
  const { listen } = settings.proxy
  const compiled = compilePolicy({
    allowed: entries('allowed_domains'),
    denied: entries('denied_domains'),
    deniedFiles: parts.deniedFiles,
    allowedPorts: settings.policy.allowed_ports,
    unfamiliar: settings.policy.unfamiliar,
    private: settings.policy.private.map((each, i) => ({ ...each, source: place(['policy', 'private', i]) })),
    own: [listen, ...(settings.admin.listen ? [settings.admin.listen] : []), ...parts.own],
    localAddresses: parts.localAddresses,
    sources: {
      allowedPorts: writtenPlace(place, layers, ['policy', 'allowed_ports']),
      unfamiliar: writtenPlace(place, layers, ['policy', 'unfamiliar']),
    },
  })
  const translate = (problem: PolicyProblem) => problemOf(problem, places, layers)
  return {
    policy: compiled.policy,
    problems: compiled.problems.map(translate),
    warnings: compiled.warnings.map(translate),
  }
}

interface Place {
  readonly origin: Origin
  readonly path: readonly PropertyKey[]
}

function writtenPlace(
  place: (path: readonly PropertyKey[]) => SourceLocation,
  layers: Layers,
  path: readonly PropertyKey[],
): SourceLocation | undefined {
  return layers.originOf(path).layer === 'default' ? undefined : place(path)
}

/** Problems of a line of a list file keep the place that they have: the list file itself. */
function problemOf(
  problem: PolicyProblem,
  places: ReadonlyMap<SourceLocation, Place>,
  layers: Layers,
): ConfigProblem {
  const known = problem.source && places.get(problem.source)
  const text = { problem: problem.problem, remedy: problem.remedy, value: shownValue(problem.value) ?? '' }
  if (!known) {
    const { file, line } = problem.source ?? { file: '', line: 0 }
    return { file, line, field: `policy.${problem.field}`, ...text }
  }
  const [list, key] = problem.field.split('.')
  const path = key === undefined || list !== 'private' ? known.path : [...known.path, key]
  return { ...placeOf(layers.originOf(path)), field: fieldText(path), ...text }
}
