import { type Command, Option } from 'commander'
import { nearest } from '../config/suggestion.ts'
import type { AdminOptions } from './admin-client.ts'
import type { AnswerOptions, ListOptions } from './approvals.ts'
import type { WatchOptions } from './approvals-watch.ts'
import { command, type Does, withAdmin } from './command.ts'
import { CommandFailed, EXIT } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'

const WHAT_WAITS = 'the id, or its first four or more characters; `sallyport approvals` lists them'

/** `sallyport approvals` and what stands below it. Each loads what it needs when it runs: a short start for all. */
export function addApprovalCommands(
  program: Command,
  terminal: Terminal,
  signal: AbortSignal,
  does: Does,
): void {
  const list = async (self: Command) =>
    (await import('./approvals.ts')).listApprovals(self.optsWithGlobals<ListOptions>(), terminal)

  const approvals = withAdmin(
    command(program, terminal, 'approvals', 'see and answer what waits for an approval', EXAMPLES),
  )
    .option('--all', 'those that ended, too')
    .allowExcessArguments()
    .action((_: unknown, self: Command) => {
      const [word] = self.args
      if (word !== undefined) throw unknownWord(word, self)
      return does(list(self))
    })
  command(approvals, terminal, 'list', 'what waits (the same as approvals alone)', LIST_EXAMPLES)
    .option('--all', 'those that ended, too')
    .action((_: unknown, self: Command) => does(list(self)))
  command(approvals, terminal, 'watch', 'show what waits, live; keys answer it', WATCH_EXAMPLES)
    .option('--no-bell', 'do not ring for a new one')
    .option('--by <name>', 'who answers; recorded as claimed (default: $USER)')
    .action((_: unknown, self: Command) =>
      does(
        import('./approvals-watch.ts').then(({ watchApprovals }) =>
          watchApprovals(self.optsWithGlobals<WatchOptions>(), terminal, signal),
        ),
      ),
    )
  for (const verdict of ['allow', 'deny'] as const) addAnswer(approvals, terminal, does, verdict)
  command(approvals, terminal, 'grants', 'the answers that are remembered', GRANTS_EXAMPLES).action(
    (_: unknown, self: Command) =>
      does(
        import('./approvals.ts').then(({ listGrants }) =>
          listGrants(self.optsWithGlobals<AdminOptions>(), terminal),
        ),
      ),
  )
  command(approvals, terminal, 'revoke', 'forget a remembered answer at once', REVOKE_EXAMPLES)
    .argument(
      '<id>',
      'the id of the grant, or its first four or more characters; `sallyport approvals grants` lists them',
    )
    .option('--by <name>', 'who revokes; recorded as claimed (default: $USER)')
    .action((id: string, _: unknown, self: Command) =>
      does(
        import('./approvals.ts').then(({ revokeGrant }) =>
          revokeGrant(id, self.optsWithGlobals<AdminOptions & { by?: string }>(), terminal),
        ),
      ),
    )
}

function addAnswer(approvals: Command, terminal: Terminal, does: Does, verdict: 'allow' | 'deny'): void {
  const examples = verdict === 'allow' ? ALLOW_EXAMPLES : DENY_EXAMPLES
  command(approvals, terminal, verdict, `${verdict} what waits under an id`, examples)
    .argument('<id>', WHAT_WAITS)
    .addOption(
      new Option('--for <duration>', 'and remember it so long: 30m, 1h, 7d').conflicts(['session', 'always']),
    )
    .addOption(
      new Option('--session', "and remember it until the client's session ends").conflicts(['always']),
    )
    .option('--always', 'and remember it until it is revoked')
    .option('--everyone', 'for every client, not only the one that asked')
    .addOption(new Option('--host', 'for every permitted port of the host').conflicts(['domain']))
    .option('--domain', 'for the registrable domain of the host and everything below it')
    .option('--note <text>', 'why; recorded')
    .option('--by <name>', 'who answers; recorded as claimed (default: $USER)')
    .action((id: string, _: unknown, self: Command) =>
      does(
        import('./approvals.ts').then(({ answerApproval }) =>
          answerApproval(verdict, id, self.optsWithGlobals<AnswerOptions>(), terminal),
        ),
      ),
    )
}

/** An id in the place of a command is the likeliest slip: `approvals 7kq2m8aa`. */
function unknownWord(word: string, approvals: Command): CommandFailed {
  const names = approvals.commands.map((each) => each.name())
  const meant = nearest(word, names)
  const remedy =
    meant === undefined
      ? `say ${names.join(', ')}; to answer: sallyport approvals allow ${/^[0-9a-z]{4,26}$/.test(word) ? word : 'ID'}`
      : `did you mean ${meant}?`
  return new CommandFailed(EXIT.usage, `approvals ${word}: there is no such command → ${remedy}`)
}

const EXAMPLES = `
Examples:
  sallyport approvals                            what waits now
  sallyport approvals watch                      the same, live, answered by a key
  sallyport approvals allow 7kq2m8aa --for 1h    let it through, and the retries of the next hour
  sallyport approvals deny 7kq2m8aa              refuse it`

const LIST_EXAMPLES = `
Examples:
  sallyport approvals list --all                           those that were answered or expired, too
  sallyport approvals list --json | jq -r '.approvals[].host'`

const WATCH_EXAMPLES = `
On a terminal: a allows once, h for an hour, s for the client's session, d denies, arrows choose, q quits.
In a pipe: one line a change; with --json one object.

Examples:
  sallyport approvals watch
  sallyport approvals watch --json | while read -r event; do …; done`

const ALLOW_EXAMPLES = `
Without --for, --session or --always only what waits now goes on (if nobody waits any more: the next request).
What the deny list, the address guard or the ports refuse, no approval can allow.

Examples:
  sallyport approvals allow 7kq2m8aa --for 1h
  sallyport approvals allow 7kq2m8aa --always --domain --everyone --note "package mirror"`

const DENY_EXAMPLES = `
Without --for, --session or --always the answer is remembered as long as the approval would have lived.

Examples:
  sallyport approvals deny 7kq2m8aa
  sallyport approvals deny 7kq2m8aa --always --note "not our mirror"`

const GRANTS_EXAMPLES = `
Examples:
  sallyport approvals grants
  sallyport approvals revoke 3fz8w1qk            take one back`

const REVOKE_EXAMPLES = `
The next request asks again. Tunnels that are open stay open.

Examples:
  sallyport approvals revoke 3fz8w1qk`
