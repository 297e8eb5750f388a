import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const checkout = fileURLToPath(new URL('../..', import.meta.url))

export interface LocalRegistry extends AsyncDisposable {
  readonly url: string
  /** What was asked for, by name: those that are served, and those that are not. */
  readonly served: ReadonlySet<string>
  readonly refused: ReadonlySet<string>
}

interface Installed {
  readonly dir: string
  readonly manifest: Readonly<Record<string, unknown>> & { readonly version: string }
}

/**
 * An npm registry on loopback that has what this checkout has installed and nothing else: a package is installed from
 * it as from the real one, without the network, and it knows what was asked for.
 */
export async function startLocalRegistry(): Promise<LocalRegistry> {
  const packages = await installedPackages()
  const served = new Set<string>()
  const refused = new Set<string>()
  const server = createServer((request, response) => {
    const [, path = ''] = (request.url ?? '').split('/', 2)
    const tarball = /^\/-\/tarball\/(.+)\/(\d+)$/.exec(request.url ?? '')
    const name = decodeURIComponent(tarball?.[1] ?? path)
    const versions = packages.get(name)
    if (versions === undefined) {
      refused.add(name)
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}')
      return
    }
    served.add(name)
    const chosen = versions[Number(tarball?.[2])]
    if (chosen === undefined) {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(packument(name, versions, url)))
      return
    }
    const parent = join(chosen.dir, '..')
    const tar = spawn('tar', ['-czf', '-', '-C', parent, chosen.dir.slice(parent.length + 1)])
    response.writeHead(200, { 'content-type': 'application/octet-stream' })
    tar.stdout.pipe(response)
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    served,
    refused,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => void server.close(resolve))
    },
  }
}

function packument(name: string, versions: readonly Installed[], url: string): object {
  const entries = versions.map(({ manifest }, index) => [
    manifest.version,
    { ...manifest, dist: { tarball: `${url}/-/tarball/${encodeURIComponent(name)}/${index}` } },
  ])
  return {
    name,
    'dist-tags': { latest: versions[0]?.manifest.version },
    versions: Object.fromEntries(entries),
  }
}

async function installedPackages(): Promise<ReadonlyMap<string, readonly Installed[]>> {
  const lock = JSON.parse(await readFile(join(checkout, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }>
  }
  const packages = new Map<string, Installed[]>()
  for (const [path, { dev, optional, devOptional }] of Object.entries(lock.packages)) {
    const name = path.split('node_modules/').at(-1) ?? ''
    if (name === '' || dev || optional || devOptional) continue
    const dir = join(checkout, path)
    const manifest = JSON.parse(await readFile(join(dir, 'package.json'), 'utf8')) as Installed['manifest']
    packages.set(name, [...(packages.get(name) ?? []), { dir, manifest }])
  }
  return packages
}
