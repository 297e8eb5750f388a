import { z } from 'zod'
import { choice, count, duration, flag, paths, port, ports, tables, texts } from './setting.ts'

const PATTERNS =
  'a list of patterns: "example.com", "*.example.com", "**.example.com", "example.com:8443", "192.0.2.0/24"'

export const policySection = z
  .strictObject({
    allowed_domains: texts({
      meaning: 'Hosts that may be reached without asking.',
      form: `${PATTERNS}, or "*" for any host`,
      initial: [],
    }),
    denied_domains: texts({
      meaning: 'Hosts that may never be reached: no allow and no approval can change that.',
      form: PATTERNS,
      initial: [],
    }),
    denied_domains_files: paths({
      meaning:
        'Files with more denied patterns, one on a line, # begins a comment. A million lines are fine, and a changed file is loaded at once.',
      relativeTo: 'config',
    }),
    allowed_ports: ports({
      meaning: 'Ports that may be reached, beside those that an allowed pattern names.',
      initial: [80, 443],
    }),
    unfamiliar: choice({
      meaning:
        'What happens to a host that no list knows: "hold" keeps the client waiting while a person is asked (a bare address is refused), "deny" refuses, "allow" lets everything through that is not denied.',
      initial: 'hold',
      words: ['hold', 'deny', 'allow'],
    }),
    private: tables({
      meaning:
        'Destinations on private networks that may be reached all the same. Host, network and port must agree together; everything else that is not on the public internet stays out of reach.',
      form: 'a list of tables such as { host = "git.corp.example", cidr = "10.1.2.0/24", ports = [443] }',
      each: z.strictObject({
        host: z.string().describe('A pattern for the name that is asked for.'),
        cidr: z.string().describe('The network that the name must resolve into, such as "10.1.2.0/24".'),
        ports: z.array(port()).min(1).describe('The ports that may be reached.'),
      }),
    }),
  })
  .prefault({})

export const tunnelSection = z
  .strictObject({
    require_tls: flag({
      meaning:
        'Whether a tunnel to port 443 must begin with a TLS ClientHello whose server name is the host that was asked for. Without it a tunnel to an allowed host can be led to another one behind the same front.',
      initial: true,
    }),
    raw: texts({
      meaning: 'Where other protocols than TLS may pass through a tunnel to port 443, such as SSH.',
      form: 'a list of hosts with a port, such as "ssh.github.com:443"',
      initial: [],
    }),
  })
  .prefault({})

export const holdSection = z
  .strictObject({
    wait: duration({
      meaning:
        'How long a client waits for an answer before it gets 503 «approval pending» and has to come back. Many clients give up after 30s.',
      initial: '25s',
      from: '0s',
      to: '10m',
    }),
    per_client: count({
      meaning: 'How many approvals of one client may be open at once; one more question is refused.',
      initial: 100,
      from: 1,
      to: 100_000,
    }),
    total: count({
      meaning:
        'How many approvals may be open at once in all; past it the client with the most of them loses its oldest.',
      initial: 1000,
      from: 1,
      to: 1_000_000,
    }),
    waiters_per_approval: count({
      meaning: 'How many exchanges may wait for the same approval; one more is refused.',
      initial: 1000,
      from: 1,
      to: 1_000_000,
    }),
    when_unattended: choice({
      meaning:
        'What happens when nobody watches for approvals: "hold" waits all the same, "deny" refuses at once with no_reviewer.',
      initial: 'hold',
      words: ['hold', 'deny'],
    }),
  })
  .prefault({})

export const approvalSection = z
  .strictObject({
    ttl: duration({
      meaning:
        'How long an approval stays open. An answer within that time still counts for the next attempt.',
      initial: '15m',
      from: '1s',
      to: '7d',
    }),
    session_idle: duration({
      meaning:
        'When the session of a client is over, and with it what was allowed «for this session»: so long after its last connection closed.',
      initial: '30m',
      from: '1s',
      to: '7d',
    }),
  })
  .prefault({})
