// bench: how much processor time Sallyport takes for each thing it does, as a ratio to another proxy in the same run.
//
//   npm run bench                                       every mode of this version, against Squid
//   npm run bench -- --mode connect,denied --vs squid --vs relay --rounds 5
//
// The load comes from the generator in ../shared/bench, or where SALLYPORT_BENCH says; it needs make, a C compiler and
// OpenSSL's headers, and the other proxy (Debian: squid-openssl). Everything stays on loopback.
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const MODES = 'connect,denied,ping,tput-down,tput-up,plain-1k,plain-100k,idle-9k'

interface Row {
  readonly rate?: number
  readonly cost?: number
  readonly errors?: number
  readonly cost_ratio?: number
  readonly failed?: readonly string[]
}

const { values } = parseArgs({
  options: {
    mode: { type: 'string', default: MODES },
    vs: { type: 'string', multiple: true, default: ['squid'] },
    rounds: { type: 'string', default: '5' },
    secs: { type: 'string', default: '4' },
  },
})
const generator =
  process.env['SALLYPORT_BENCH'] ?? fileURLToPath(new URL('../../shared/bench', import.meta.url))
if (!existsSync(join(generator, 'run'))) {
  process.stderr.write(`bench: no load generator in ${generator}; say where it is with SALLYPORT_BENCH\n`)
  process.exit(1)
}
process.exitCode = await measure(generator)

async function measure(source: string): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-bench-'))
  try {
    cpSync(source, dir, { recursive: true })
    spawnSync('chmod', ['-R', 'u+w', dir])
    const built = spawnSync('make', ['-s'], { cwd: dir, stdio: ['ignore', 'ignore', 'inherit'] })
    if (built.status !== 0) return 1
    const ours = fileURLToPath(new URL('start-sallyport', import.meta.url))
    const others = values.vs.flatMap((peer) => ['--vs', peer])
    for (const mode of values.mode.split(',')) {
      const args = [
        '--proxy',
        ours,
        ...others,
        '--mode',
        mode,
        '--rounds',
        values.rounds,
        '--secs',
        values.secs,
        '--json',
      ]
      const output = await run(join(dir, 'run'), args)
      if (output === undefined) return 1
      print(mode, (JSON.parse(output) as Record<string, Record<string, Row>>)[mode]!)
    }
    return 0
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function run(command: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (bytes: Buffer) => (output += bytes.toString()))
    child.on('close', (code) => resolve(code === 0 ? output : undefined))
  })
}

/** One line for each proxy; the ratio is our cost divided by its cost, round by round, and then the median. */
function print(mode: string, rows: Record<string, Row>): void {
  const unit = mode.startsWith('tput') ? 's CPU/GB' : mode.startsWith('idle') ? 'KiB/tunnel' : 'µs CPU/op'
  for (const [name, row] of Object.entries(rows)) {
    const cost =
      row.cost === undefined
        ? `failed: ${(row.failed ?? []).join('; ')}`
        : `${row.cost.toPrecision(3)} ${unit}`
    const ratio =
      name === 'start-sallyport' ? '' : `sallyport ÷ ${name} = ${row.cost_ratio?.toFixed(2) ?? '-'}`
    const errors = row.errors ? `${row.errors} errors` : ''
    process.stdout.write(
      `${mode.padEnd(11)} ${name.padEnd(16)} ${cost.padEnd(20)} ${ratio} ${errors}`.trimEnd() + '\n',
    )
  }
}
