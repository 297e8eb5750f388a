import { expect, test } from 'vitest'
import { readOtelSettings, type TelemetrySettings } from '../../src/audit/otel-settings.ts'
import { otelResource } from '../../src/audit/otlp-exporter.ts'
import { DEFAULTS, exportOf, IDENTITY } from './exporters.ts'

function on(env: Record<string, string>, settings: Partial<TelemetrySettings> = {}) {
  return exportOf(readOtelSettings(env, { ...DEFAULTS, ...settings }))
}

function problems(env: Record<string, string>, settings: Partial<TelemetrySettings> = {}) {
  const found = readOtelSettings(env, { ...DEFAULTS, endpoint: 'http://c.example:4318', ...settings })
  return found.kind === 'invalid' ? found.problems : found
}

const E = 'OTEL_EXPORTER_OTLP_ENDPOINT'

test('OTLP-40 nothing is exported before an endpoint is named, and the reason is said', () => {
  expect(readOtelSettings({}, DEFAULTS)).toEqual({ kind: 'off', why: 'no endpoint is configured' })
  expect(readOtelSettings({ [E]: '' }, DEFAULTS).kind).toBe('off')
  const endpoint = { [E]: 'http://c.example:4318' }
  expect(readOtelSettings({ ...endpoint, OTEL_SDK_DISABLED: 'TRUE' }, DEFAULTS)).toEqual({
    kind: 'off',
    why: 'OTEL_SDK_DISABLED is true',
  })
  expect(readOtelSettings({ ...endpoint, OTEL_LOGS_EXPORTER: 'none' }, DEFAULTS)).toEqual({
    kind: 'off',
    why: 'OTEL_LOGS_EXPORTER is none',
  })
  expect(
    on({ ...endpoint, OTEL_SDK_DISABLED: 'false', OTEL_LOGS_EXPORTER: 'none, otlp' }).endpoint.host,
  ).toBe('c.example:4318')
})

test('OTLP-41 the endpoint: general gets /v1/logs, that of logs is used as it is, and the environment beats the file', () => {
  const url = (env: Record<string, string>, settings: Partial<TelemetrySettings> = {}) =>
    on(env, settings).endpoint.href
  expect(url({ [E]: 'http://c.example:4318' })).toBe('http://c.example:4318/v1/logs')
  expect(url({ [E]: 'https://c.example/otlp/' })).toBe('https://c.example/otlp/v1/logs')
  expect(url({ OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: 'http://l.example/in', [E]: 'http://c.example' })).toBe(
    'http://l.example/in',
  )
  expect(url({}, { endpoint: 'http://f.example:4318' })).toBe('http://f.example:4318/v1/logs')
  expect(url({}, { endpoint: 'http://f.example:4318/v1/logs' })).toBe('http://f.example:4318/v1/logs')
  expect(url({ [E]: 'http://c.example:4318' }, { endpoint: 'http://f.example:4318' })).toBe(
    'http://c.example:4318/v1/logs',
  )
  expect(url({ OTEL_LOGS_EXPORTER: 'otlp' })).toBe('http://localhost:4318/v1/logs')
  expect(url({ OTEL_LOGS_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' })).toBe(
    'http://localhost:4317/',
  )
})

test('OTLP-42 gRPC: the scheme decides about TLS, and without one OTEL_EXPORTER_OTLP_INSECURE does', () => {
  const origin = (env: Record<string, string>) =>
    on({ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', ...env }).endpoint.origin
  expect(origin({ [E]: 'http://c.example:4317' })).toBe('http://c.example:4317')
  expect(origin({ [E]: 'https://c.example:4317', OTEL_EXPORTER_OTLP_INSECURE: 'true' })).toBe(
    'https://c.example:4317',
  )
  expect(origin({ [E]: 'c.example:4317' })).toBe('https://c.example:4317')
  expect(origin({ [E]: 'c.example:4317', OTEL_EXPORTER_OTLP_INSECURE: 'true' })).toBe('http://c.example:4317')
  expect(
    origin({
      [E]: 'c.example:4317',
      OTEL_EXPORTER_OTLP_INSECURE: 'true',
      OTEL_EXPORTER_OTLP_LOGS_INSECURE: 'false',
    }),
  ).toBe('https://c.example:4317')
  expect(
    on({
      OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: 'grpc',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
      [E]: 'http://c',
    }).protocol,
  ).toBe('grpc')
})

test('OTLP-43 every other variable of the export is read, the one for logs first', () => {
  const env = {
    [E]: 'http://c.example:4318',
    OTEL_EXPORTER_OTLP_TIMEOUT: '3000',
    OTEL_EXPORTER_OTLP_LOGS_TIMEOUT: '2000',
    OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20general',
    OTEL_EXPORTER_OTLP_LOGS_HEADERS: 'X-Api-Key=a%2Cb%3Dc,x-tenant=t',
    OTEL_EXPORTER_OTLP_CERTIFICATE: '/ca.pem',
    OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: '/cert.pem',
    OTEL_EXPORTER_OTLP_CLIENT_KEY: '/key.pem',
    OTEL_BLRP_SCHEDULE_DELAY: '250',
    OTEL_BLRP_MAX_EXPORT_BATCH_SIZE: '100',
    OTEL_BLRP_MAX_QUEUE_SIZE: '4096',
    OTEL_BLRP_EXPORT_TIMEOUT: '1500',
    OTEL_ATTRIBUTE_COUNT_LIMIT: '64',
    OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: '2000',
    OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT: '1000',
  }
  expect(
    on(env, {
      timeout: 9000,
      compression: 'none',
      batch_size: 7,
      interval: 7,
      ca_file: '/other',
      headers_file: '/h',
    }),
  ).toMatchObject({
    timeout: 1500,
    compression: 'gzip',
    headers: { 'x-api-key': 'a,b=c', 'x-tenant': 't' },
    headersFile: '/h',
    caFile: '/ca.pem',
    certificateFile: '/cert.pem',
    keyFile: '/key.pem',
    interval: 250,
    batchSize: 100,
    attributeCount: 64,
    valueLength: 1000,
  })
  expect(on({ [E]: 'http://c' })).toMatchObject({
    timeout: 10_000,
    compression: 'none',
    headers: {},
    batchSize: 512,
    interval: 1000,
    attributeCount: 128,
    valueLength: Infinity,
    resource: {},
  })
})

test('OTLP-44 resource: what is found out, then the file, then OTEL_RESOURCE_ATTRIBUTES, then OTEL_SERVICE_NAME', () => {
  const { resource } = on(
    {
      [E]: 'http://c',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=prod%2Ceu, service.name = other,team=a%20b',
      OTEL_SERVICE_NAME: 'gate',
    },
    { resource: { team: 'file', 'service.namespace': 'egress' } },
  )
  expect(otelResource(IDENTITY, resource)).toEqual({
    'service.name': 'gate',
    'service.version': '1.2.3',
    'service.instance.id': IDENTITY.instance,
    'service.namespace': 'egress',
    'host.name': 'host-1',
    'os.type': 'linux',
    'process.pid': 42,
    'deployment.environment.name': 'prod,eu',
    team: 'a b',
  })
  expect(otelResource({ ...IDENTITY, platform: 'win32' }, {})['os.type']).toBe('windows')
})

test('OTLP-45 a malformed variable is an error that names it, its value and the remedy', () => {
  const cases: [Record<string, string>, string, string, string][] = [
    [{ OTEL_SDK_DISABLED: 'yes' }, 'OTEL_SDK_DISABLED', 'yes', 'set it to true or false'],
    [{ OTEL_LOGS_EXPORTER: 'otlp,console' }, 'OTEL_LOGS_EXPORTER', 'console', 'use otlp or none'],
    [
      { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' },
      'OTEL_EXPORTER_OTLP_PROTOCOL',
      'http/json',
      'use http/protobuf or grpc',
    ],
    [{ [E]: 'collector:4318' }, E, 'collector:4318', 'write it like http://'],
    [{ [E]: 'ftp://collector' }, E, 'ftp://collector', 'write it like http://'],
    [
      { [E]: 'http://c/path', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
      E,
      'http://c/path',
      'leave out what follows the port',
    ],
    [{ OTEL_EXPORTER_OTLP_TIMEOUT: '10s' }, 'OTEL_EXPORTER_OTLP_TIMEOUT', '10s', 'set it to digits only'],
    [{ OTEL_EXPORTER_OTLP_TIMEOUT: '0' }, 'OTEL_EXPORTER_OTLP_TIMEOUT', '0', 'set it to digits only'],
    [
      { OTEL_EXPORTER_OTLP_LOGS_COMPRESSION: 'zstd' },
      'OTEL_EXPORTER_OTLP_LOGS_COMPRESSION',
      'zstd',
      'use gzip or none',
    ],
    [{ OTEL_EXPORTER_OTLP_CLIENT_KEY: '/k' }, 'OTEL_EXPORTER_OTLP_CLIENT_KEY', '/k', 'set both'],
    [
      { OTEL_BLRP_MAX_EXPORT_BATCH_SIZE: '-1' },
      'OTEL_BLRP_MAX_EXPORT_BATCH_SIZE',
      '-1',
      'set it to digits only',
    ],
    [{ OTEL_BLRP_MAX_QUEUE_SIZE: 'many' }, 'OTEL_BLRP_MAX_QUEUE_SIZE', 'many', 'set it to digits only'],
    [{ OTEL_RESOURCE_ATTRIBUTES: 'a=b,team' }, 'OTEL_RESOURCE_ATTRIBUTES', 'team', 'percent-encode'],
    [{ OTEL_RESOURCE_ATTRIBUTES: 'a=%zz' }, 'OTEL_RESOURCE_ATTRIBUTES', 'a=%zz', 'percent-encode'],
  ]
  for (const [env, name, value, remedy] of cases)
    expect([env, problems(env)]).toEqual([
      env,
      [{ name, value, problem: expect.any(String), remedy: expect.stringContaining(remedy) }],
    ])
})

test('OTLP-46 no secret stands in an error: headers and user information are never repeated', () => {
  const secret = 's3cret'
  const envs: Record<string, string>[] = [
    { OTEL_EXPORTER_OTLP_HEADERS: `authorization ${secret}` },
    { OTEL_EXPORTER_OTLP_HEADERS: `authorization=%${secret}` },
    { OTEL_EXPORTER_OTLP_HEADERS: `x=${secret}%0d%0aevil: 1` },
    { OTEL_EXPORTER_OTLP_HEADERS: `${secret} =1,host=${secret}` },
    { [E]: `http://user:${secret}@c.example` },
    { [E]: `http//user:${secret}@c.example` },
  ]
  for (const env of envs) {
    const found = problems(env)
    expect(found).toHaveLength(1)
    expect(JSON.stringify(found)).not.toContain(secret)
    expect(JSON.stringify(found)).toContain(Object.keys(env)[0])
  }
})

test('OTLP-47 all problems are told at once', () => {
  const found = problems({
    OTEL_EXPORTER_OTLP_TIMEOUT: 'x',
    OTEL_EXPORTER_OTLP_COMPRESSION: 'x',
    OTEL_RESOURCE_ATTRIBUTES: 'x',
  })
  expect(found).toHaveLength(3)
})
