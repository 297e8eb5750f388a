import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runChild, words } from './child.ts'

export interface Certificate extends AsyncDisposable {
  /** PEM files; the certificate is its own authority, for `--cacert` and its like. */
  readonly certFile: string
  readonly keyFile: string
  readonly cert: string
  readonly key: string
}

/** A certificate for these names, made now by openssl, good for a day. */
export async function makeCertificate(...names: readonly [string, ...string[]]): Promise<Certificate> {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-cert-'))
  const certFile = join(dir, 'cert.pem')
  const keyFile = join(dir, 'key.pem')
  const made = await runChild('openssl', [
    ...words('req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1'),
    ...words(`-subj /CN=${names[0]} -keyout ${keyFile} -out ${certFile}`),
    ...words(`-addext subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`),
  ])
  if (made.code !== 0) throw new Error(`openssl failed: ${made.stderr}`)
  return {
    certFile,
    keyFile,
    cert: await readFile(certFile, 'utf8'),
    key: await readFile(keyFile, 'utf8'),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  }
}
