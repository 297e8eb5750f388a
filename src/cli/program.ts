import { Command, CommanderError, Option } from 'commander'
import type { AdminOptions } from './admin-client.ts'
import {
  type AnswerOptions,
  answerApproval,
  listApprovals,
  listGrants,
  type ListOptions,
  revokeGrant,
} from './approvals.ts'
import { watchApprovals, type WatchOptions } from './approvals-watch.ts'
import { checkConfig, printConfigSchema, showConfig } from './config.ts'
import { CommandFailed, EXIT } from './exit-codes.ts'
import { explainCommand, type ExplainOptions } from './explain.ts'
import { healthcheck, reload, status } from './operate.ts'
import { packageVersion } from './package-version.ts'
import { serve, type ServeOptions } from './serve.ts'
import { styled, type Terminal } from './terminal.ts'

const EXAMPLES = `
Examples:
  sallyport serve --config config/sallyport.toml     start the proxy in the foreground
  curl -x http://127.0.0.1:3128 https://example.com/ ask for something through it
  sallyport approvals                                see what waits for an answer
  sallyport approvals allow 7kq2 --for 1h            let it through, and the retries of the next hour
  sallyport explain https://example.com/path         what would happen, and which line decides

Exit codes: 0 done (explain: allow), 1 failed, 2 wrong usage, 3 configuration invalid, 4 no daemon answers,
10 explain: deny, 11 explain: hold, 130 and 143 ended by a signal.
Signals to serve: HUP loads the configuration anew, TERM and INT finish what runs, a second one ends at once.
Files: config/sallyport.toml, else /etc/sallyport/sallyport.toml; or --config, or SALLYPORT_CONFIG.`

/** Runs one command line and returns the exit code; errors are told on stderr. */
export async function run(args: readonly string[], terminal: Terminal, signal: AbortSignal): Promise<number> {
  let code: number = EXIT.ok
  const does = (work: Promise<number>) =>
    work.then((result) => {
      code = result
    })
  const program = build(terminal, signal, does)
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    if (error instanceof CommandFailed) {
      terminal.err(`${styled(terminal, 'red', 'sallyport:')} ${error.message}\n`)
      return error.code
    }
    throw error
  }
}

function build(
  terminal: Terminal,
  signal: AbortSignal,
  does: (work: Promise<number>) => Promise<void>,
): Command {
  const program = new Command('sallyport')
    .description('The controlled way out: a forward HTTP/HTTPS egress proxy with domain policy.')
    .version(packageVersion(), '-V, --version')
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.err(text) })
    .showSuggestionAfterError()

  const command = (parent: Command, name: string, description: string) => {
    const made = parent.command(name).description(description).exitOverride()
    made.configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.err(text) })
    return made.showHelpAfterError('(add --help for usage)')
  }

  command(program, 'serve', 'run the proxy in the foreground')
    .addOption(configOption())
    .option(
      '--set <key=value...>',
      'settings that win over the file and the environment, such as proxy.listen=127.0.0.1:0',
    )
    .action((options: ServeOptions) => does(serve(options, terminal)))

  const approvals = withAdmin(command(program, 'approvals', 'see and answer what waits for an approval'))
    .option('--all', 'those that ended, too')
    .action((_: unknown, self: Command) => does(listApprovals(self.optsWithGlobals<ListOptions>(), terminal)))
  command(approvals, 'list', 'what waits (the same as approvals alone)')
    .option('--all', 'those that ended, too')
    .action((_: unknown, self: Command) => does(listApprovals(self.optsWithGlobals<ListOptions>(), terminal)))
  command(approvals, 'watch', 'show what waits, live; keys answer it')
    .option('--no-bell', 'do not ring for a new one')
    .option('--by <name>', 'who answers; recorded as claimed (default: $USER)')
    .action((_: unknown, self: Command) =>
      does(watchApprovals(self.optsWithGlobals<WatchOptions>(), terminal, signal)),
    )
  for (const verdict of ['allow', 'deny'] as const) {
    command(approvals, verdict, `${verdict} what waits under an id`)
      .argument('<id>', 'the id, or its first four or more characters')
      .addOption(
        new Option('--for <duration>', 'and remember it so long: 30m, 1h, 7d').conflicts([
          'session',
          'always',
        ]),
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
      .addHelpText('after', verdict === 'allow' ? ALLOW_HELP : DENY_HELP)
      .action((id: string, _: unknown, self: Command) =>
        does(answerApproval(verdict, id, self.optsWithGlobals<AnswerOptions>(), terminal)),
      )
  }
  command(approvals, 'grants', 'the answers that are remembered').action((_: unknown, self: Command) =>
    does(listGrants(self.optsWithGlobals<AdminOptions>(), terminal)),
  )
  command(approvals, 'revoke', 'forget a remembered answer at once')
    .argument('<id>', 'the id of the grant, or its first four or more characters')
    .option('--by <name>', 'who revokes; recorded as claimed (default: $USER)')
    .action((id: string, _: unknown, self: Command) =>
      does(revokeGrant(id, self.optsWithGlobals<AdminOptions & { by?: string }>(), terminal)),
    )

  withAdmin(command(program, 'explain', 'what would happen to a URL, and which rule decides'))
    .argument('<url>', 'https://host/path, http://host/path, or host:port')
    .option('--client <address>', 'source address of the client that would ask', '127.0.0.1')
    .option('--offline', 'ask no daemon: only what the configuration says, without grants')
    .action((url: string, options: ExplainOptions) => does(explainCommand(url, options, terminal)))

  const config = command(program, 'config', 'check, show and describe the configuration')
  command(config, 'check', 'say everything that is wrong with a configuration file')
    .argument('[file]', 'default: what serve would read')
    .option('--json', 'one JSON object')
    .action((file: string | undefined, options: { json?: boolean }) =>
      does(checkConfig(file, options, terminal)),
    )
  command(config, 'show', 'every setting, its value, and where that comes from')
    .addOption(configOption())
    .option('--json', 'one JSON array')
    .action((options: { config?: string; json?: boolean }) => does(showConfig(options, terminal)))
  command(config, 'schema', 'the JSON Schema of the file, for editors').action(() =>
    does(Promise.resolve(printConfigSchema(terminal))),
  )

  withAdmin(command(program, 'reload', 'make the running daemon load its configuration anew')).action(
    (options: AdminOptions) => does(reload(options, terminal)),
  )
  withAdmin(command(program, 'status', 'what the running daemon is doing')).action((options: AdminOptions) =>
    does(status(options, terminal)),
  )
  withAdmin(command(program, 'healthcheck', 'exit code 0 when the daemon is ready')).action(
    (options: AdminOptions) => does(healthcheck(options, terminal)),
  )
  return program
}

function configOption(): Option {
  return new Option(
    '-c, --config <file>',
    'configuration file (default: config/sallyport.toml, else /etc/sallyport/sallyport.toml)',
  )
}

function withAdmin(command: Command): Command {
  return command
    .addOption(configOption())
    .option('--socket <path>', 'admin socket of the daemon (default: as configured)')
    .option('--admin <url>', 'admin API by TCP, such as http://127.0.0.1:3129; needs --token-file')
    .option('--token-file <file>', 'file with the token of the admin API')
    .option('--json', 'JSON for programs')
}

const ALLOW_HELP = `
Without --for, --session or --always only what waits now goes on (if nobody waits any more: the next request).
What the deny list, the address guard or the ports refuse, no approval can allow.`

const DENY_HELP = `
Without --for, --session or --always the answer is remembered as long as the approval would have lived.`
