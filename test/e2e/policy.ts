// e2e: the product as its users meet it: real processes, real clients, real origins, all on loopback. What a part does
// by itself is tested beside that part.

/** TOML of a policy for origins on loopback: names under `.test`, and the exceptions from the address guard they need. */
export function policyFor(options: {
  readonly dns: string
  readonly ports: readonly number[]
  readonly allowed?: readonly string[]
  readonly unfamiliar?: 'hold' | 'deny' | 'allow'
  /** How long a client waits. Long by default: on a busy machine what answers may take its time. */
  readonly wait?: string
  readonly more?: string
}): string {
  const ports = [...new Set([80, 443, ...options.ports])]
  return `
[policy]
allowed_domains = ${JSON.stringify(options.allowed ?? ['ok.test'])}
denied_domains = ["denied.test"]
allowed_ports = ${JSON.stringify(ports)}
unfamiliar = "${options.unfamiliar ?? 'hold'}"
private = [{ host = "**.test", cidr = "127.0.0.0/8", ports = ${JSON.stringify(ports)} }]

[hold]
wait = "${options.wait ?? '10m'}"

[upstream]
resolver = "${options.dns}"

${options.more ?? ''}
`
}
