import { type Environment, type OtelProblem, OtelVariables } from './otel-variables.ts'

/** The `telemetry` section of the configuration. The environment beats each of it, as operators expect of OTEL_*. */
export interface TelemetrySettings {
  /** Base URL: `/v1/logs` is appended for HTTP where it is not there. */
  readonly endpoint?: string | undefined
  readonly protocol: Protocol
  readonly headers_file?: string | undefined
  readonly compression: 'none' | 'gzip'
  /** Milliseconds. */
  readonly timeout: number
  readonly batch_size: number
  /** Milliseconds. */
  readonly interval: number
  readonly ca_file?: string | undefined
  readonly resource?: Readonly<Record<string, string>> | undefined
}

export type Protocol = 'http/protobuf' | 'grpc'

export interface ExportSettings {
  readonly protocol: Protocol
  /** As it is posted to for HTTP; origin only for gRPC. */
  readonly endpoint: URL
  /** Of the variables; they are secrets, and win over those of the file. */
  readonly headers: Readonly<Record<string, string>>
  readonly headersFile: string | undefined
  /** Milliseconds for one export. */
  readonly timeout: number
  readonly compression: 'none' | 'gzip'
  readonly caFile: string | undefined
  readonly certificateFile: string | undefined
  readonly keyFile: string | undefined
  readonly batchSize: number
  /** Milliseconds. */
  readonly interval: number
  /** What the operator says of the resource; wins over what is found out. */
  readonly resource: Readonly<Record<string, string>>
  readonly attributeCount: number
  readonly valueLength: number
}

export type OtelSettings =
  | { readonly kind: 'on'; readonly export: ExportSettings }
  /** `why` is a sentence for the log of the start. */
  | { readonly kind: 'off'; readonly why: string }
  | { readonly kind: 'invalid'; readonly problems: readonly OtelProblem[] }

const EXPORTERS = ['otlp', 'none']

/** Nothing is exported before an endpoint is named, in the configuration or by a variable. */
export function readOtelSettings(env: Environment, settings: TelemetrySettings): OtelSettings {
  const variables = new OtelVariables(env)
  const disabled = variables.flag('OTEL_SDK_DISABLED')
  const exporters = readExporters(variables)
  if (variables.problems.length > 0) return { kind: 'invalid', problems: variables.problems }
  if (disabled) return { kind: 'off', why: 'OTEL_SDK_DISABLED is true' }
  if (exporters && !exporters.includes('otlp')) return { kind: 'off', why: 'OTEL_LOGS_EXPORTER is none' }

  const protocol =
    variables.choice<Protocol>(
      ['http/protobuf', 'grpc'],
      'OTEL_EXPORTER_OTLP_LOGS_PROTOCOL',
      'OTEL_EXPORTER_OTLP_PROTOCOL',
    ) ?? settings.protocol
  const endpoint = readEndpoint(variables, settings, protocol, exporters !== undefined)
  const exportSettings = endpoint && readExport(variables, settings, protocol, endpoint)
  if (variables.problems.length > 0) return { kind: 'invalid', problems: variables.problems }
  if (!exportSettings) return { kind: 'off', why: 'no endpoint is configured' }
  return { kind: 'on', export: exportSettings }
}

function readExporters(variables: OtelVariables): string[] | undefined {
  const found = variables.find('OTEL_LOGS_EXPORTER')
  if (!found) return undefined
  const words = found.value
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
  for (const word of words)
    if (!EXPORTERS.includes(word))
      variables.problem(
        { name: found.name, value: word },
        'there is no such exporter here',
        'use otlp or none; the audit log itself can be read as JSON lines on this machine',
      )
  return words
}

function readExport(
  variables: OtelVariables,
  settings: TelemetrySettings,
  protocol: Protocol,
  endpoint: URL,
): ExportSettings {
  const otlp = (name: string): [string, string] => [
    `OTEL_EXPORTER_OTLP_LOGS_${name}`,
    `OTEL_EXPORTER_OTLP_${name}`,
  ]
  const timeout = variables.count(1, 'milliseconds', ...otlp('TIMEOUT')) ?? settings.timeout
  const batchTimeout = variables.count(1, 'milliseconds', 'OTEL_BLRP_EXPORT_TIMEOUT')
  // The queue is the log on disk, which has no limit: the variable is checked, and has nothing to say.
  variables.count(1, 'records', 'OTEL_BLRP_MAX_QUEUE_SIZE')
  const certificate = variables.find(...otlp('CLIENT_CERTIFICATE'))
  const key = variables.find(...otlp('CLIENT_KEY'))
  const alone = certificate ?? key
  if (alone && !(certificate && key))
    variables.problem(
      alone,
      'a client certificate needs its key and the other way round',
      'set both OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY',
    )
  const serviceName = variables.text('OTEL_SERVICE_NAME')
  return {
    protocol,
    endpoint,
    headers: readHeaders(variables, otlp('HEADERS')),
    headersFile: settings.headers_file,
    timeout: Math.min(timeout, batchTimeout ?? timeout),
    compression: variables.choice(['gzip', 'none'], ...otlp('COMPRESSION')) ?? settings.compression,
    caFile: variables.text(...otlp('CERTIFICATE')) ?? settings.ca_file,
    certificateFile: certificate?.value,
    keyFile: key?.value,
    batchSize: variables.count(1, 'records', 'OTEL_BLRP_MAX_EXPORT_BATCH_SIZE') ?? settings.batch_size,
    interval: variables.count(0, 'milliseconds', 'OTEL_BLRP_SCHEDULE_DELAY') ?? settings.interval,
    resource: {
      ...settings.resource,
      ...variables.pairs(false, 'OTEL_RESOURCE_ATTRIBUTES'),
      ...(serviceName !== undefined && { 'service.name': serviceName }),
    },
    attributeCount:
      variables.count(
        1,
        'attributes',
        'OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT',
        'OTEL_ATTRIBUTE_COUNT_LIMIT',
      ) ?? 128,
    valueLength:
      variables.count(
        1,
        'characters',
        'OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT',
        'OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT',
      ) ?? Infinity,
  }
}

/** The signal's own variable replaces the general one whole: a token for one address must not go to another. */
function readHeaders(variables: OtelVariables, names: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(variables.pairs(true, ...names) ?? {})) {
    if (isField(name, value)) headers[name.toLowerCase()] = value
    else
      variables.problem(
        { name: variables.find(...names)!.name },
        'a member is not a header field that can be sent',
        'use letters, digits and hyphens in names, and no control characters in values',
      )
  }
  return headers
}

/** Fields of the connection and of the message, which are ours to write. */
const RESERVED =
  /^(?:connection|content-.*|expect|grpc-.*|host|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade)$/i

/** RFC 9110 §5.6.2 and §5.5: a token, and visible text. Pseudo fields of HTTP/2 are no tokens. */
export function isField(name: string, value: string): boolean {
  if (RESERVED.test(name)) return false
  return /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name) && /^[\t\x20-\x7e\x80-\xff]*$/.test(value)
}

function readEndpoint(
  variables: OtelVariables,
  settings: TelemetrySettings,
  protocol: Protocol,
  asked: boolean,
): URL | undefined {
  const own = variables.find('OTEL_EXPORTER_OTLP_LOGS_ENDPOINT')
  const general = variables.find('OTEL_EXPORTER_OTLP_ENDPOINT')
  const configured = settings.endpoint && { name: 'telemetry.endpoint', value: settings.endpoint }
  const byDefault = {
    name: 'OTEL_LOGS_EXPORTER',
    value: `http://localhost:${protocol === 'grpc' ? 4317 : 4318}`,
  }
  const source = own ?? general ?? (configured || (asked ? byDefault : undefined))
  if (!source) return undefined
  const insecure = variables.flag('OTEL_EXPORTER_OTLP_LOGS_INSECURE', 'OTEL_EXPORTER_OTLP_INSECURE')
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(source.value)
  // Only gRPC may leave the scheme out, and only there does OTEL_EXPORTER_OTLP_INSECURE mean anything.
  const scheme = hasScheme || protocol !== 'grpc' ? '' : insecure ? 'http://' : 'https://'
  const url = URL.parse(scheme + source.value)
  if (!url || !/^https?:$/.test(url.protocol)) {
    // What cannot be read may hold a password or a key anywhere.
    const shown = /[@?]/.test(source.value) ? { name: source.name } : source
    variables.problem(
      shown,
      'it is not an http:// or https:// URL',
      'write it like http://collector.example:4318',
    )
    return undefined
  }
  if (url.username !== '' || url.password !== '') {
    const remedy = 'put credentials into OTEL_EXPORTER_OTLP_HEADERS or telemetry.headers_file'
    variables.problem({ name: source.name }, 'it contains user information', remedy)
    return undefined
  }
  if (protocol === 'grpc') {
    if (url.pathname === '/' && url.search === '') return url
    variables.problem(source, 'an endpoint for gRPC has no path', 'leave out what follows the port')
    return undefined
  }
  if (source === own || (source === configured && url.pathname.endsWith('/v1/logs'))) return url
  url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/logs`
  return url
}
