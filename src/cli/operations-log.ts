import { pino } from 'pino'
import type { OperationsLog } from '../daemon.ts'
import { shown, styled, type Terminal } from './terminal.ts'

type Style = Parameters<typeof styled>[1]

const LEVELS: Readonly<Record<number, readonly [string, Style]>> = {
  10: ['trace', 'dim'],
  20: ['debug', 'dim'],
  30: ['info', 'green'],
  40: ['warn', 'yellow'],
  50: ['error', 'red'],
  60: ['fatal', 'red'],
}

/**
 * The daemon's own log, on stderr and never in the record: lines of JSON for machines, plain lines where a person
 * looks on. `format` is `log.format`: `auto` asks whether stderr is a terminal.
 */
export function createOperationsLog(
  level: string,
  format: 'auto' | 'json' | 'pretty',
  terminal: Terminal,
  stderrIsTty: boolean,
): OperationsLog {
  const pretty = format === 'pretty' || (format === 'auto' && stderrIsTty)
  const write = (line: string) => terminal.err(pretty ? prettyLine(line, terminal) : line)
  // Synchronous on purpose: the last line before a crash is the one that is needed.
  return pino({ level, base: null, redact: ['*.authorization', '*["proxy-authorization"]'] }, { write })
}

function prettyLine(line: string, terminal: Terminal): string {
  const { level, time, msg, err, ...rest } = JSON.parse(line) as Record<string, unknown>
  const [name, style] = LEVELS[Number(level)] ?? ['info', 'green']
  const clock = new Date(Number(time)).toISOString().slice(11, 19)
  const details = Object.entries(rest).map(([key, value]) => ` ${key}=${shown(JSON.stringify(value))}`)
  const error =
    typeof err === 'object' && err !== null && 'stack' in err ? `\n${shownLines(String(err.stack))}` : ''
  return `${styled(terminal, 'dim', clock)} ${styled(terminal, style, name)} ${shown(String(msg))}${details.join('')}${error}\n`
}

function shownLines(text: string): string {
  return text.split('\n').map(shown).join('\n')
}
