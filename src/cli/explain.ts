import type { ClientId } from '../core/client.ts'
import { DECISION_EXIT_CODES, explain, type Explanation } from '../policy/explain.ts'
import { type AdminOptions, openAdminClient } from './admin-client.ts'
import { CommandFailed, EXIT } from './exit-codes.ts'
import { loadOrFail } from './load-or-fail.ts'
import { shown, styled, type Terminal } from './terminal.ts'

export interface ExplainOptions extends AdminOptions {
  readonly json?: boolean
  /** Source address of the client that would ask. */
  readonly client?: string
  /** Ask nobody: read the configuration and leave grants out. */
  readonly offline?: boolean
}

const DEFAULT_CLIENT = '127.0.0.1'

/** Tells what would happen to a URL and which rule decides; the exit code is the decision. */
export async function explainCommand(
  url: string,
  options: ExplainOptions,
  terminal: Terminal,
): Promise<number> {
  const { explanation, from } = await ask(url, options, terminal)
  if (options.json === true) terminal.out(`${JSON.stringify({ url, ...explanation, from })}\n`)
  else terminal.out(text(url, explanation, from, terminal))
  return DECISION_EXIT_CODES[explanation.decision]
}

async function ask(
  url: string,
  options: ExplainOptions,
  terminal: Terminal,
): Promise<{ explanation: Explanation; from: 'daemon' | 'file' }> {
  const client = options.client ?? DEFAULT_CLIENT
  if (options.offline !== true) {
    try {
      await using admin = await openAdminClient(options, terminal)
      return {
        explanation: await admin.call<Explanation>('POST', '/v1/explain', { url, client }),
        from: 'daemon',
      }
    } catch (error) {
      // No daemon is no reason not to explain the file; one that was named and does not answer is.
      const unreachable = error instanceof CommandFailed && error.code === EXIT.unreachable
      if (!unreachable || options.socket !== undefined || options.admin !== undefined) throw error
    }
  }
  const { snapshot } = await loadOrFail(options.config, terminal)
  return {
    explanation: explain(snapshot.policy, { target: url, client: client as ClientId }, () => undefined),
    from: 'file',
  }
}

const COLOURS = { allow: 'green', deny: 'red', hold: 'yellow' } as const

function text(url: string, explanation: Explanation, from: 'daemon' | 'file', terminal: Terminal): string {
  const { decision, reason, status, says, rule, target, unresolved, steps } = explanation
  const word = styled(terminal, COLOURS[decision], decision.toUpperCase())
  const lines = [
    `${word}  ${shown(url)}${target === undefined || target === shown(url) ? '' : `  (${target})`}`,
    `  ${says}`,
  ]
  if (reason !== undefined)
    lines.push(`  reason  ${reason}${status === undefined ? '' : `, status ${status}`}`)
  if (rule !== undefined) {
    const place =
      rule.source === undefined ? 'built in, or a default' : `${shown(rule.source.file)}:${rule.source.line}`
    lines.push(
      `  rule    ${rule.list} "${shown(rule.text)}"  (${rule.list === 'grant' ? 'a remembered answer' : place})`,
    )
  }
  if (steps.length > 0)
    lines.push(`  steps   ${steps.map((each) => `${each.step}: ${each.outcome}`).join(' → ')}`)
  if (decision !== 'deny' && unresolved)
    lines.push(
      '  note    the name was not looked up; if an address of it is not public, it is denied all the same',
    )
  if (from === 'file')
    lines.push('  note    no daemon was asked: this is what the configuration says, without grants')
  return `${lines.join('\n')}\n`
}
