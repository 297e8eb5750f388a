import { run } from './cli/program.ts'
import { processTerminal, shown } from './cli/terminal.ts'

/** The command line: runs one command and sets the exit code. */
export async function main(args: readonly string[]): Promise<void> {
  const terminal = processTerminal()
  const interrupted = new AbortController()
  // `serve` has its own signals; every other command ends at once, a watch after it has put the terminal back.
  if (args[0] !== 'serve') {
    process.once('SIGINT', () => {
      interrupted.abort()
      setTimeout(() => process.exit(130), 200).unref()
    })
  }
  // A closed pipe (`| head`) is the reader's way to say enough.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  try {
    process.exitCode = await run(args, terminal, interrupted.signal)
  } catch (error) {
    const trace = error instanceof Error ? (error.stack ?? error.message) : String(error)
    terminal.err(
      `sallyport: this should not have happened, please report it:\n${trace.split('\n').map(shown).join('\n')}\n`,
    )
    process.exitCode = 1
  }
  if (args[0] === 'serve') process.exit()
}
