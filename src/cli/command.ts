import { type Command, Help, Option } from 'commander'
import type { Terminal } from './terminal.ts'

/** Hands the work of a command to whoever waits for its exit code. */
export type Does = (work: Promise<number>) => Promise<void>

/** A command whose errors are told on stderr and which ends nothing by itself. `examples` stand below its help. */
export function command(
  parent: Command,
  terminal: Terminal,
  name: string,
  description: string,
  examples: string,
): Command {
  return spoken(parent.command(name), terminal)
    .description(description)
    .addHelpText('after', `\n${examples.trim()}`)
    .showHelpAfterError('(add --help for what can be said)')
}

/** Makes a command write where we say, and speak as the other errors do. */
export function spoken(made: Command, terminal: Terminal): Command {
  return made
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({
      showGlobalOptions: true,
      helpWidth: Math.min(terminal.columns, 110),
      visibleGlobalOptions: inherited,
    })
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.err(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'sallyport: ')),
    })
}

/** Of the options of the commands above, those that mean something to this one. */
function inherited(made: Command): Option[] {
  return Object.assign(new Help(), { showGlobalOptions: true })
    .visibleGlobalOptions(made)
    .filter((option) => option.name() !== 'version' && option.name() !== 'all')
}

export function configOption(): Option {
  return new Option(
    '-c, --config <file>',
    'configuration file (default: config/sallyport.toml, else /etc/sallyport/sallyport.toml)',
  )
}

/** The options of every command that speaks to a running daemon. */
export function withAdmin(made: Command): Command {
  return made
    .addOption(configOption())
    .option('--socket <path>', 'admin socket of the daemon (default: as configured)')
    .option('--admin <url>', 'admin API by TCP, such as http://127.0.0.1:3129; needs --token-file')
    .option('--token-file <file>', 'file with the token of the admin API')
    .option('--json', 'JSON for programs')
}
