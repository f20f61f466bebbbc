/**
 * Certificates for TLS tests, made in memory and told as PEM texts: an authority, servers that answer on this machine, clients with a name.
 * Every authority has its own key, so a second one stands for "wrong certificate". Valid from an hour ago for a week unless told otherwise.
 * Keys are P-256 in PKCS#8, which Node, gRPC and Kafka's PEM stores read.
 */
import { randomUUID, webcrypto } from 'node:crypto'
import type { Extension } from '@peculiar/x509'

// The library registers its parts by a container that asks for the metadata of their constructors. None of them has any, so this answer is whole.
Object.assign(Reflect, { getMetadata: noMetadata, getOwnMetadata: noMetadata })
const x509 = await import('@peculiar/x509')

const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const HOUR_MS = 3_600_000
const HOSTS = [
  { type: 'dns', value: 'localhost' },
  { type: 'ip', value: '127.0.0.1' },
  { type: 'ip', value: '::1' },
] as const

/** A certificate with its private key, as PEM texts. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

interface Lifetime {
  readonly notBefore?: Date
  readonly notAfter?: Date
}

export interface CertificateAuthority {
  /** The authority's own certificate: what the other side trusts. */
  readonly ca: string
  /** For localhost, 127.0.0.1 and ::1. */
  server: (options?: Lifetime & { readonly commonName?: string; readonly hosts?: readonly { type: 'dns' | 'ip'; value: string }[] }) => Promise<Certificate>
  client: (commonName: string, options?: Lifetime) => Promise<Certificate>
}

/** A new authority that nothing else trusts. */
export async function createAuthority(commonName = 'flowfence test authority'): Promise<CertificateAuthority> {
  const keys = await newKeys()
  // The serial in the name keeps two authorities apart, so that a client never picks the wrong one by its name.
  const name = `CN=${commonName} ${randomUUID().slice(0, 8)}`
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name,
    keys,
    ...lifetime({}),
    signingAlgorithm: EC,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })

  async function issue(subject: string, options: Lifetime, extensions: Extension[]): Promise<Certificate> {
    const own = await newKeys()
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${subject}`,
      issuer: name,
      publicKey: own.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: EC,
      ...lifetime(options),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
        ...extensions,
      ],
    })
    return { cert: pem('CERTIFICATE', certificate.rawData), key: pem('PRIVATE KEY', await webcrypto.subtle.exportKey('pkcs8', own.privateKey)) }
  }

  return {
    ca: pem('CERTIFICATE', ca.rawData),
    server: (options = {}) =>
      issue(options.commonName ?? 'localhost', options, [
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension([...(options.hosts ?? HOSTS)]),
      ]),
    client: (subject, options = {}) => issue(subject, options, [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])]),
  }
}

function noMetadata(): undefined {
  return undefined
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(EC, true, ['sign', 'verify'])
}

function lifetime({ notBefore, notAfter }: Lifetime): Required<Lifetime> {
  const now = Date.now()
  return { notBefore: notBefore ?? new Date(now - HOUR_MS), notAfter: notAfter ?? new Date(now + 7 * 24 * HOUR_MS) }
}

function pem(label: string, bytes: ArrayBuffer): string {
  const lines = Buffer.from(bytes).toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
