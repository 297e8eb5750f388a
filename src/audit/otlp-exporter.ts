import type { Clock } from '../core/clock.ts'
import type { Attributes } from '../core/event.ts'
import type { Exporter } from './exporter.ts'
import { type ExportSettings, isField } from './otel-settings.ts'
import { createOtlpEncoder } from './otlp-encode.ts'
import { createGrpcExporter } from './otlp-grpc.ts'
import { createHttpExporter, type OtlpConnection } from './otlp-http.ts'

export interface OtlpExporterParts {
  readonly settings: ExportSettings
  readonly readFile: (path: string) => Promise<string>
  readonly clock: Clock
  readonly identity: ProcessIdentity
}

/** What the resource says of the process by itself. */
export interface ProcessIdentity {
  /** Version of Sallyport. */
  readonly version: string
  /** Unique for each start. */
  readonly instance: string
  readonly hostname: string
  /** As `process.platform`. */
  readonly platform: string
  readonly pid: number
}

/** Reads the files that the settings name and makes the exporter. Throws an Error that names the file and the remedy. */
export async function createOtlpExporter(parts: OtlpExporterParts): Promise<Exporter> {
  const { settings, clock, identity } = parts
  const read = async (name: string, path: string | undefined): Promise<string | undefined> => {
    if (path === undefined) return undefined
    return await parts.readFile(path).catch((error: unknown) => {
      throw new Error(`${name} ${path} cannot be read: check that it exists and is readable`, {
        cause: error,
      })
    })
  }
  const ca = await read('the certificate file of the collector', settings.caFile)
  const cert = await read('the client certificate', settings.certificateFile)
  const key = await read('the client key', settings.keyFile)
  const headersFile = await read('the headers file', settings.headersFile)
  const connection: OtlpConnection = {
    endpoint: settings.endpoint,
    headers: { ...parseHeadersFile(headersFile ?? '', settings.headersFile ?? ''), ...settings.headers },
    timeout: settings.timeout,
    compression: settings.compression,
    tls: {
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    },
    userAgent: `sallyport/${identity.version}`,
    encode: createOtlpEncoder({
      resource: otelResource(identity, settings.resource),
      version: identity.version,
      attributeCount: settings.attributeCount,
      valueLength: settings.valueLength,
    }),
    clock,
  }
  return settings.protocol === 'grpc' ? createGrpcExporter(connection) : createHttpExporter(connection)
}

/** What the operator says wins over what was found out. */
export function otelResource(identity: ProcessIdentity, said: Readonly<Record<string, string>>): Attributes {
  return {
    'service.name': 'sallyport',
    'service.version': identity.version,
    'service.instance.id': identity.instance,
    'host.name': identity.hostname,
    'os.type': identity.platform === 'win32' ? 'windows' : identity.platform,
    'process.pid': identity.pid,
    ...said,
  }
}

/** One `Name: value` on a line; empty lines and lines that begin with # are left out. */
function parseHeadersFile(text: string, path: string): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(colon, 0)).trim()
    const value = line.slice(colon + 1).trim()
    if (!isField(name, value))
      throw new Error(`${path}:${index + 1}: not a header field: write one «Name: value» on a line`)
    headers[name.toLowerCase()] = value
  }
  return headers
}
