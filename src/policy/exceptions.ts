import type { SourceLocation } from '../core/decision.ts'
import type { Exception } from './guard.ts'
import { patternOrProblem } from './lists.ts'
import { parseNetwork } from './network.ts'
import type { PolicyProblem } from './problem.ts'

/** An entry of `private` as it is written. */
export interface PrivateException {
  /** A pattern without a port; `*` names no host and is refused. */
  readonly host: string
  readonly cidr: string
  /** At least one. */
  readonly ports: readonly number[]
  readonly source: SourceLocation
}

/** The exceptions that can be meant; the others become problems. */
export function parsedExceptions(
  exceptions: readonly PrivateException[],
  problems: PolicyProblem[],
): Exception[] {
  return exceptions.flatMap((each) => {
    const mine: PolicyProblem[] = []
    const exception = parsedException(each, mine)
    problems.push(...mine)
    return exception && mine.length === 0 ? [exception] : []
  })
}

function parsedException(exception: PrivateException, problems: PolicyProblem[]): Exception | undefined {
  const { host, cidr, ports, source } = exception
  const problem = (field: string, value: string, what: string, remedy: string) =>
    problems.push({ field, value, source, problem: what, remedy })
  const pattern = patternOrProblem('private.host', host, source, problems)
  if (pattern?.kind === 'any')
    problem(
      'private.host',
      host,
      'an exception must name the host',
      'write the host, or a pattern such as **.corp.example',
    )
  else if (pattern && pattern.port !== 0)
    problem(
      'private.host',
      host,
      'the port of an exception stands in ports',
      `write host = "${host.slice(0, host.lastIndexOf(':'))}" and ports = [${pattern.port}]`,
    )
  const result = parseNetwork(cidr)
  if (result.kind === 'invalid') problem('private.cidr', cidr, result.problem, result.remedy)
  if (ports.length === 0)
    problem(
      'private.ports',
      '[]',
      'an exception must name its ports',
      'write ports = [443], or whichever the host serves',
    )
  problems.push(...portProblems('private.ports', ports, source))
  if (!pattern || result.kind === 'invalid') return undefined
  const rule = { list: 'private', text: `${host} ${cidr} ${ports.join(',')}`, source }
  return { host: pattern, network: result.network, ports: new Set(ports), rule }
}

export function portProblems(
  field: string,
  ports: readonly number[],
  source: SourceLocation | undefined,
): PolicyProblem[] {
  return ports
    .filter((port) => !Number.isInteger(port) || port < 1 || port > 65_535)
    .map((port) => ({
      field,
      value: String(port),
      source,
      problem: 'a port must be a number from 1 to 65535',
      remedy: 'write the ports that clients may ask for, such as [80, 443]',
    }))
}
