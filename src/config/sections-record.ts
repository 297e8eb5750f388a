import { z } from 'zod'
import {
  choice,
  count,
  duration,
  flag,
  optionalPath,
  optionalText,
  pairs,
  path,
  refuse,
  size,
} from './setting.ts'

const restart = true

export const auditSection = z
  .strictObject({
    dir: path({
      meaning: 'The folder of the audit log.',
      initial: 'audit',
      relativeTo: 'state',
      restart,
    }),
    segment_size: size({
      meaning: 'How long a file of the audit log grows before the next one is begun.',
      initial: '64MiB',
      from: '4KiB',
      to: '1GiB',
      restart,
    }),
    keep: size({
      meaning:
        'How much of the audit log is kept: beyond it the oldest files are removed. 0 keeps everything.',
      initial: '0',
      from: '0B',
      to: '1024TiB',
      restart,
    }),
    on_error: choice({
      meaning:
        'What happens when the audit log cannot be written: "deny" refuses everything until it can, "allow" goes on unrecorded.',
      initial: 'deny',
      words: ['deny', 'allow'],
    }),
    completed: flag({
      meaning:
        'Whether the end of an exchange is recorded too (bytes, duration, status), beside the decision.',
      initial: true,
      restart,
    }),
    sync: duration({
      meaning:
        'How often the audit log is forced to the disk, so that it survives a loss of power. 0 leaves it to the system; a crash of the proxy loses nothing either way.',
      initial: '1s',
      from: '0s',
      to: '1h',
      restart,
    }),
  })
  .prefault({})

export const telemetrySection = z
  .strictObject({
    endpoint: optionalText({
      meaning:
        'The OpenTelemetry collector that gets the audit log as log records. Nothing is exported while it is unset.',
      form: 'an http:// or https:// URL without user information, such as "http://127.0.0.1:4318"',
      restart,
      read: (value, context) => {
        const url = URL.parse(value)
        if (!url || !/^https?:\/\//i.test(value))
          return refuse(context, value, 'it is not an http:// or https:// URL', { secret: true })
        if (url.username === '' && url.password === '') return value
        return refuse(context, value, 'it contains user information', {
          remedy: 'put an Authorization field into the file that telemetry.headers_file names',
          secret: true,
        })
      },
    }),
    protocol: choice({
      meaning: 'How the collector is spoken to.',
      initial: 'http/protobuf',
      words: ['http/protobuf', 'grpc'],
      restart,
    }),
    headers_file: optionalPath({
      meaning:
        'A file with fields that the collector wants, such as Authorization: one "Name: value" on a line. It holds secrets: mode 0600.',
      relativeTo: 'config',
      restart,
    }),
    compression: choice({
      meaning: 'How what is exported is compressed.',
      initial: 'none',
      words: ['none', 'gzip'],
      restart,
    }),
    timeout: duration({
      meaning: 'How long the collector may take to answer.',
      initial: '10s',
      from: '10ms',
      to: '5m',
      restart,
    }),
    batch_size: count({
      meaning: 'The most records in one export.',
      initial: 512,
      from: 1,
      to: 8192,
      restart,
    }),
    interval: duration({
      meaning: 'How long records wait for more of them, so that one export carries many.',
      initial: '1s',
      from: '10ms',
      to: '1h',
      restart,
    }),
    ca_file: optionalPath({
      meaning: 'A PEM file with the certificate authority of the collector.',
      relativeTo: 'config',
      restart,
    }),
    resource: pairs({
      meaning: 'Attributes that say who exports, added to what is found out by itself.',
      form: 'a table of texts such as { "deployment.environment.name" = "production" }',
      restart,
    }),
  })
  .prefault({})

export const logSection = z
  .strictObject({
    level: choice({
      meaning: 'How much the proxy says about itself on stderr. The audit log does not depend on it.',
      initial: 'info',
      words: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
      restart,
    }),
    format: choice({
      meaning: 'How it says it: "pretty" for people, "json" for machines, "auto" is pretty on a terminal.',
      initial: 'auto',
      words: ['auto', 'json', 'pretty'],
      restart,
    }),
  })
  .prefault({})
