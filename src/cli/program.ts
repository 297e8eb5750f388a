import { Command, CommanderError } from 'commander'
import type { AdminOptions } from './admin-client.ts'
import { addApprovalCommands } from './approval-commands.ts'
import { command, configOption, type Does, spoken, withAdmin } from './command.ts'
import { CommandFailed, EXIT } from './exit-codes.ts'
import type { ExplainOptions } from './explain.ts'
import { packageVersion } from './package-version.ts'
import type { ServeOptions } from './serve.ts'
import { styled, type Terminal } from './terminal.ts'

/** Runs one command line and returns the exit code; errors are told on stderr. */
export async function run(args: readonly string[], terminal: Terminal, signal: AbortSignal): Promise<number> {
  let code: number = EXIT.ok
  const program = build(terminal, signal, async (work) => {
    code = await work
  })
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

/** Each command loads what it needs when it runs: a question to the daemon starts no second one. */
function build(terminal: Terminal, signal: AbortSignal, does: Does): Command {
  const program = spoken(new Command('sallyport'), terminal)
    .description('The controlled way out: a forward HTTP/HTTPS egress proxy with domain policy.')
    .version(packageVersion(), '-V, --version')
    .addHelpText('after', `\n${EXAMPLES.trim()}`)
    .showHelpAfterError('(add --help for the commands)')

  command(program, terminal, 'serve', 'run the proxy in the foreground', SERVE_EXAMPLES)
    .addOption(configOption())
    .option(
      '--set <key=value...>',
      'settings that win over the file and the environment, such as proxy.listen=127.0.0.1:0',
    )
    .action((options: ServeOptions) =>
      does(import('./serve.ts').then(({ serve }) => serve(options, terminal))),
    )

  addApprovalCommands(program, terminal, signal, does)

  withAdmin(
    command(
      program,
      terminal,
      'explain',
      'what would happen to a URL, and which rule decides',
      EXPLAIN_EXAMPLES,
    ),
  )
    .argument('<url>', 'https://host/path, http://host/path, or host:port')
    .option('--client <address>', 'source address of the client that would ask', '127.0.0.1')
    .option('--offline', 'ask no daemon: only what the configuration says, without grants')
    .action((url: string, options: ExplainOptions) =>
      does(import('./explain.ts').then(({ explainCommand }) => explainCommand(url, options, terminal))),
    )

  const config = command(
    program,
    terminal,
    'config',
    'check, show and describe the configuration',
    CONFIG_EXAMPLES,
  )
  command(config, terminal, 'check', 'say everything that is wrong with a configuration file', CHECK_EXAMPLES)
    .argument('[file]', 'default: what serve would read')
    .addOption(configOption())
    .option('--json', 'one JSON object')
    .action((file: string | undefined, options: { json?: boolean; config?: string }) =>
      does(
        import('./config.ts').then(({ checkConfig }) =>
          checkConfig(file ?? options.config, options, terminal),
        ),
      ),
    )
  command(config, terminal, 'show', 'every setting, its value, and where that comes from', SHOW_EXAMPLES)
    .addOption(configOption())
    .option('--json', 'one JSON array')
    .action((options: { config?: string; json?: boolean }) =>
      does(import('./config.ts').then(({ showConfig }) => showConfig(options, terminal))),
    )
  command(config, terminal, 'schema', 'the JSON Schema of the file, for editors', SCHEMA_EXAMPLES).action(
    () => does(import('./config.ts').then(({ printConfigSchema }) => printConfigSchema(terminal))),
  )

  for (const [name, description, examples] of OPERATIONS)
    withAdmin(command(program, terminal, name, description, examples)).action((options: AdminOptions) =>
      does(import('./operate.ts').then((operate) => operate[name](options, terminal))),
    )
  return program
}

const EXAMPLES = `
Examples:
  sallyport serve --config config/sallyport.toml       start the proxy in the foreground
  curl -x http://127.0.0.1:3128 https://example.com/   ask for something through it
  sallyport approvals                                  see what waits for an answer
  sallyport approvals allow 7kq2m8aa --for 1h          let it through, and the retries of the next hour
  sallyport explain https://example.com/path           what would happen, and which line decides

Exit codes: 0 done (explain: allow), 1 failed, 2 wrong usage, 3 configuration invalid, 4 no daemon answers,
10 explain: deny, 11 explain: hold, 130 and 143 ended by a signal.
Files: config/sallyport.toml, else /etc/sallyport/sallyport.toml; or --config, or SALLYPORT_CONFIG.`

const SERVE_EXAMPLES = `
Signals: HUP loads the configuration anew (a saved file is loaded by itself), TERM and INT let what runs finish,
a second one ends at once.

Examples:
  sallyport serve                                                     with config/sallyport.toml
  sallyport serve --config my.toml --set proxy.listen=127.0.0.1:0     any free port
  SALLYPORT_POLICY_UNFAMILIAR=deny sallyport serve                    a setting by its environment variable`

const EXPLAIN_EXAMPLES = `
Exit codes: 0 allow, 10 deny, 11 hold. Nothing is sent and no name is looked up.

Examples:
  sallyport explain https://example.com/path
  sallyport explain registry.example:8443 --json
  sallyport explain --offline --config new.toml http://example.com/   before it is put in force`

const CONFIG_EXAMPLES = `
Examples:
  sallyport config check new.toml
  sallyport config show
  sallyport config schema > sallyport.schema.json`

const CHECK_EXAMPLES = `
Exit codes: 0 ok (warnings are told on stderr), 3 invalid.

Examples:
  sallyport config check new.toml
  sallyport config check --json new.toml | jq .problems`

const SHOW_EXAMPLES = `
Examples:
  sallyport config show
  SALLYPORT_HOLD_WAIT=5s sallyport config show | grep hold   what the environment makes of it`

const SCHEMA_EXAMPLES = `
Examples:
  sallyport config schema > sallyport.schema.json     then begin the file with: #:schema ./sallyport.schema.json`

const OPERATIONS = [
  [
    'reload',
    'make the running daemon load its configuration anew',
    `
The answer says what came of it; a configuration with a mistake is refused, and the old one stays in force.

Examples:
  sallyport reload`,
  ],
  [
    'status',
    'what the running daemon is doing',
    `
Examples:
  sallyport status
  sallyport status --json | jq .approvals`,
  ],
  [
    'healthcheck',
    'exit code 0 when the daemon is ready',
    `
Exit codes: 0 ready, 1 not ready, 4 no daemon answers. For containers whose image has no shell and no curl.

Examples:
  sallyport healthcheck`,
  ],
] as const
