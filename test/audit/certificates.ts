import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

export interface TestCertificate {
  /** PEM. */
  readonly cert: string
  readonly key: string
}

export interface TestAuthority extends TestCertificate {
  /** A certificate for 127.0.0.1, for either side. */
  issue(name: string): TestCertificate
}

/** A certificate authority that lives as long as the test; X.509 v3 (RFC 5280) with P-256 keys, written by hand. */
export function makeAuthority(name: string): TestAuthority {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const cert = certificate({
    subject: name,
    issuer: name,
    key: keys.publicKey,
    signer: keys.privateKey,
    isAuthority: true,
  })
  return {
    ...pem(cert, keys.privateKey),
    issue(subject) {
      const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const leaf = { subject, issuer: name, key: own.publicKey, signer: keys.privateKey, isAuthority: false }
      return pem(certificate(leaf), own.privateKey)
    },
  }
}

function pem(der: Buffer, key: KeyObject): TestCertificate {
  const lines = der
    .toString('base64')
    .match(/.{1,64}/g)!
    .join('\n')
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

function certificate(of: {
  subject: string
  issuer: string
  key: KeyObject
  signer: KeyObject
  isAuthority: boolean
}): Buffer {
  const ecdsaWithSha256 = sequence(oid('2a8648ce3d040302'))
  const validity = sequence(time(Date.now() - 3_600_000), time(Date.now() + 3_600_000))
  const extensions = of.isAuthority
    ? sequence(sequence(oid('551d13'), boolean, der(0x04, sequence(boolean))))
    : sequence(sequence(oid('551d11'), der(0x04, sequence(der(0x87, Buffer.from([127, 0, 0, 1]))))))
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ecdsaWithSha256,
    distinguished(of.issuer),
    validity,
    distinguished(of.subject),
    of.key.export({ type: 'spki', format: 'der' }),
    der(0xa3, extensions),
  )
  const signature = sign('sha256', body, of.signer)
  return sequence(body, ecdsaWithSha256, der(0x03, Buffer.concat([Buffer.from([0]), signature])))
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content])
  return Buffer.concat([Buffer.from([tag, 0x82, length >> 8, length & 0xff]), content])
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts))
}

const boolean = der(0x01, Buffer.from([0xff]))

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'))
}

function distinguished(name: string): Buffer {
  return sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from(name)))))
}

function time(ms: number): Buffer {
  return der(0x17, Buffer.from(`${new Date(ms).toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`))
}
